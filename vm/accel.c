/*
 * The probe boots the image's kernel under KVM without a root file system: it prints its banner
 * on the serial line, panics, and with panic=-1 and -no-reboot QEMU ends. The banner is the
 * answer; a triple fault also ends QEMU, but silently. With ACCEL_AUTO the probe is only made
 * where the CPU has virtualisation at all (vmx or svm in /proc/cpuinfo), because a paravirtual
 * KVM without it is known to hang guests; with ACCEL_KVM the user wants to know, so it is tried.
 *
 * What was found is one line in $XDG_CACHE_HOME/vmdeck/accel, behind a key of boot id and QEMU's
 * identity. A cache that cannot be written costs a probe each time, nothing else.
 */
#include "vm/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "base/process.h"
#include "base/str.h"

#define BANNER "Linux version"

static const char *const want_names[] = {
    [ACCEL_AUTO] = "auto", [ACCEL_KVM] = "kvm", [ACCEL_TCG] = "tcg"};

const char *accel_name(const struct accel *accel)
{
    return accel->kvm ? "kvm" : "tcg";
}

int accel_parse(const char *text, enum accel_want *out, struct error *err)
{
    for (int i = ACCEL_AUTO; i <= ACCEL_TCG; i++)
        if (strcmp(text, want_names[i]) == 0) {
            *out = (enum accel_want)i;
            return 0;
        }
    return error_set(err, EINVAL, "--accel '%.40s': not one of auto, kvm, tcg", text);
}

static bool cpu_virtualises(void)
{
    CLEAN_BUF struct buf text = {0};
    if (path_read("/proc/cpuinfo", 16 << 20, &text, NULL) < 0)
        return false;
    const char *cpuinfo = buf_string(&text);
    const char *flags = cpuinfo != NULL ? strstr(cpuinfo, "\nflags") : NULL;
    if (flags == NULL)
        return false;
    size_t len = strcspn(flags + 1, "\n") + 1;
    return memmem(flags, len, " vmx", 4) != NULL || memmem(flags, len, " svm", 4) != NULL;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads until the banner, the end, or the deadline. */
static bool probe_banner(int fd)
{
    int64_t deadline = now_ms() + ACCEL_PROBE_SECONDS * 1000;
    char text[65536];
    size_t len = 0;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - now_ms();
        if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
            return false;
        ssize_t got = read(fd, text + len, sizeof text - len);
        if (got <= 0)
            return false;
        len += (size_t)got;
        if (memmem(text, len, BANNER, sizeof BANNER - 1) != NULL)
            return true;
        if (len > sizeof text / 2)
            len = 0;
    }
}

static bool probe_kvm(const char *qemu, const char *kernel)
{
    const char *const argv[] = {qemu,
                                "-nodefaults",
                                "-no-user-config",
                                "-no-reboot",
                                "-display",
                                "none",
                                "-machine",
                                "q35",
                                "-accel",
                                "kvm",
                                "-cpu",
                                "host",
                                "-m",
                                "256",
                                "-serial",
                                "stdio",
                                "-kernel",
                                kernel,
                                "-append",
                                "console=ttyS0 panic=-1",
                                NULL};
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return false;
    CLEAN_FD int ours = out[0];
    const struct process_fd fds[] = {{out[1], 1}};
    pid_t pid = process_spawn(
        &(struct process_spec){
            .argv = argv, .fds = fds, .fd_count = 1, .parent_death_signal = SIGKILL},
        NULL);
    close(out[1]);
    if (pid < 0)
        return false;
    bool works = probe_banner(ours);
    kill(pid, SIGKILL);
    process_wait(pid);
    log_debug(LOG_QEMU, "KVM probe: %s", works ? "works" : "no answer");
    return works;
}

/* What a cached result depends on. */
static char *accel_key(enum accel_want want, const char *qemu)
{
    CLEAN_BUF struct buf boot = {0};
    struct stat st;
    if (stat(qemu, &st) < 0 || path_read("/proc/sys/kernel/random/boot_id", 64, &boot, NULL) < 0)
        return NULL;
    const char *id = buf_string(&boot);
    return id != NULL ? str_printf("%.36s %s %lld %lld\n", id, want_names[want],
                                   (long long)st.st_size, (long long)st.st_mtime)
                      : NULL;
}

static void accel_probe(enum accel_want want, const char *qemu, const char *kernel,
                        struct accel *out)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int code = errno;
    if (fd >= 0)
        close(fd);
    if (fd < 0 && code == ENOENT)
        snprintf(out->reason, sizeof out->reason, "this host has no /dev/kvm");
    else if (fd < 0)
        snprintf(out->reason, sizeof out->reason, "/dev/kvm cannot be opened: %s", strerror(code));
    else if (want == ACCEL_AUTO && !cpu_virtualises())
        snprintf(out->reason, sizeof out->reason,
                 "the CPU shows neither vmx nor svm, so /dev/kvm cannot be trusted");
    else if (!probe_kvm(qemu, kernel))
        snprintf(out->reason, sizeof out->reason,
                 "/dev/kvm exists, but a guest started on it does not run");
    else
        out->kvm = true;
}

int accel_choose(enum accel_want want, const char *qemu, const char *kernel, struct accel *out,
                 struct error *err)
{
    *out = (struct accel){0};
    if (want == ACCEL_TCG)
        return 0;
    CLEAN_FREE char *path = NULL;
    CLEAN_FREE char *key = accel_key(want, qemu);
    CLEAN_BUF struct buf cached = {0};
    const char *text = NULL;
    if (path_xdg(PATH_CACHE, want == ACCEL_AUTO ? "accel" : "accel-kvm", &path, NULL) == 0 &&
        path_read(path, 4096, &cached, NULL) == 0)
        text = buf_string(&cached);
    if (text != NULL && key != NULL && str_starts(text, key)) {
        const char *reason = text + strlen(key);
        out->kvm = *reason == '\0';
        snprintf(out->reason, sizeof out->reason, "%s", reason);
    } else {
        accel_probe(want, qemu, kernel, out);
        out->first = !out->kvm;
        CLEAN_FREE char *line = key != NULL ? str_printf("%s%s", key, out->reason) : NULL;
        if (path != NULL && line != NULL)
            path_write(path, 0600, line, strlen(line), NULL);
    }
    if (want == ACCEL_KVM && !out->kvm)
        return error_set(err, ENODEV, "KVM does not work here: %s (use --accel auto or tcg)",
                         out->reason);
    return 0;
}
