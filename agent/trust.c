/*
 * The certificate is appended to the bundles themselves, on the disk: a bundle in memory, mounted
 * over the file, could not be replaced by update-ca-certificates(8), which renames a new one over
 * it. That a new one has the certificate too is what the link in /usr/local/share is for. The
 * append is made by who boots or is resumed, and in memory: the end of the file is there from
 * trust_prepare(). A fork has it from its template.
 *
 * Programs of their own mind (Python's requests, Node.js, OpenSSL's s_client) are told by their
 * environment where the bundle is; the session host sets it.
 */
#include "agent/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/wire.h"

#define CERTIFICATE "/run/vmdeck/ca.crt" /* alone; in memory */
#define LOCAL       "/usr/local/share/ca-certificates"

/* The first is made where it is missing: it is the one that the environment names. */
static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch, SUSE */
    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora and its family */
};
#define BUNDLES (sizeof bundles / sizeof bundles[0])

void trust_prepare(void)
{
    static uint8_t end[4096];
    struct stat st;
    mkdir("/etc/ssl", 0755);
    mkdir("/etc/ssl/certs", 0755);
    mkdir("/usr/local/share", 0755);
    mkdir(LOCAL, 0755);
    if (symlink(CERTIFICATE, LOCAL "/vmdeck.crt") != 0 && errno != EEXIST)
        return; /* a read-only root */
    for (size_t i = 0; i < BUNDLES; i++) {
        int fd = open(bundles[i], O_RDWR | O_CLOEXEC | (i == 0 ? O_CREAT : 0), 0644);
        if (fd < 0)
            continue;
        if (fstat(fd, &st) == 0 && st.st_size > 0) {
            off_t at = st.st_size - (st.st_size - 1) % (off_t)sizeof end - 1;
            ssize_t n = pread(fd, end, sizeof end, at);
            (void)n; /* it is only to be in memory */
        }
        close(fd);
    }
}

static int ends_with(int fd, off_t size, const uint8_t *pem, uint32_t length)
{
    static uint8_t end[WIRE_TRUST_MAX];
    return size >= (off_t)length && pread(fd, end, length, size - (off_t)length) == length &&
           memcmp(end, pem, length) == 0;
}

static int append(const char *path, const uint8_t *pem, uint32_t length)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == EROFS ? 0 : -errno;
    int rc = fstat(fd, &st) != 0 ? -errno : 0;
    if (rc == 0 && !ends_with(fd, st.st_size, pem, length) && write(fd, pem, length) != length)
        rc = errno != 0 ? -errno : -ENOSPC;
    close(fd);
    return rc;
}

int trust_install(const uint8_t *pem, uint32_t size)
{
    if (getpid() != 1)
        return -EPERM; /* anywhere else it would be somebody's own trust store */
    int fd = open(CERTIFICATE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int rc = fd < 0 || write(fd, pem, size) != size ? -errno : 0;
    if (fd >= 0)
        close(fd);
    for (size_t i = 0; i < BUNDLES; i++) {
        int failed = append(bundles[i], pem, size);
        rc = rc < 0 ? rc : failed;
    }
    return rc;
}
