/*
 * One build at a time: a lock on build.lock, for whose holder the others wait. Waiting is left to
 * flock(1) on our own descriptor: the lock belongs to the open file that both share, and unlike
 * a flock() of ours the program can be ended when the user cancels.
 *
 * The archive goes to a file without a name in the work directory, because the file system's size
 * must be known before it is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "base/process.h"
#include "base/str.h"
#include "vm/image/archive.h"
#include "vm/image/debian.h"
#include "vm/image/kernel.h"
#include "vm/image/run.h"
#include "vm/image/store.h"

#define DOWNLOAD_SHARE 850 /* per mille of the whole that making the archive takes */
#define CONVERT_SHARE  950 /* … and when the file system is written */

static void report(const struct image_build *build, unsigned per_mille, const char *step)
{
    if (build->progress != NULL)
        build->progress(build->context, per_mille, step);
}

static void report_archive(void *context, unsigned per_mille, const char *step)
{
    report(context, per_mille * DOWNLOAD_SHARE / 1000, step);
}

static void report_convert(void *context, unsigned per_mille)
{
    report(context, DOWNLOAD_SHARE + per_mille * (CONVERT_SHARE - DOWNLOAD_SHARE) / 1000,
           "writing the file system");
}

/* flock(1) takes the lock on its standard output, which is our open file. */
static int build_wait(const struct image_build *build, int fd, struct error *err)
{
    report(build, 0, "waiting for another build");
    static const char *const argv[] = {"flock", "--exclusive", "1", NULL};
    return run_program(&(struct run){.argv = argv, .out = fd, .cancel = build->cancel}, err);
}

/* The lock, and whether the default image is another one than before waiting for it. */
static int build_lock(const struct image_build *build, const char *arch, int *out,
                      char id[IMAGE_ID_SIZE], struct error *err)
{
    CLEAN_FREE char *path = NULL;
    char before[IMAGE_ID_SIZE] = "";
    id[0] = '\0';
    int rc = store_path("build.lock", &path, err);
    CLEAN_FD int fd = rc == 0 ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (rc < 0 || fd < 0)
        return rc < 0 ? rc : error_system(err, errno, "cannot open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return error_system(err, errno, "cannot lock %s", path);
        store_ref_read(IMAGE_DEFAULT, arch, before, NULL);
        rc = build_wait(build, fd, err);
        if (rc < 0)
            return rc;
        if (store_ref_read(IMAGE_DEFAULT, arch, id, NULL) < 0 || strcmp(before, id) == 0)
            id[0] = '\0';
    }
    *out = take_fd(&fd);
    return 0;
}

static int spool_open(const char *directory, struct error *err)
{
    CLEAN_FREE char *path = str_printf("%s/archive", directory);
    int fd = path != NULL ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return error_system(err, errno, "cannot make a file in %s", directory);
    unlink(path);
    return fd;
}

static int write_part(const char *directory, const char *file, const struct buf *content,
                      struct error *err)
{
    CLEAN_FREE char *path = str_printf("%s/%s", directory, file);
    if (path == NULL)
        return error_set(err, ENOMEM, "out of memory");
    return path_write(path, 0444, buf_data(content), buf_len(content), err);
}

static int write_kernel(const char *directory, struct archive_result *result, struct error *err)
{
    struct error why = {0};
    CLEAN_BUF struct buf unpacked = {0};
    if (buf_len(&result->kernel) == 0 || result->kernel_version == NULL)
        return error_set(err, EBADMSG, "the archive has no kernel or no modules in it");
    int rc = kernel_unpack(buf_data(&result->kernel), buf_len(&result->kernel), &unpacked, &why);
    if (rc == 0)
        return write_part(directory, "kernel", &unpacked, err);
    if (rc != -ENOTSUP)
        return error_set(err, -rc, "%s", why.message);
    log_warn(LOG_IMAGE, "the kernel is used as it is: %s", why.message);
    return write_part(directory, "kernel", &result->kernel, err);
}

static int build_parts(const struct image_build *build, const char *arch, int tar,
                       const char *directory, struct manifest *manifest, struct error *err)
{
    CLEAN_FREE char *rootfs = str_printf("%s/rootfs.ext4", directory);
    if (rootfs == NULL)
        return error_set(err, ENOMEM, "out of memory");
    CLEAN_ARCHIVE_RESULT struct archive_result result = {0};
    int rc = archive_convert(
        &(struct archive_job){
            .tar = tar,
            .rootfs = rootfs,
            .overrides = debian_overrides,
            .override_count = debian_override_count,
            .progress = report_convert,
            .context = (void *)build,
            .cancel = build->cancel,
        },
        &result, err);
    if (rc == 0)
        rc = write_kernel(directory, &result, err);
    if (rc == 0)
        rc = write_part(directory, "initramfs", &result.initramfs, err);
    if (rc < 0)
        return rc;
    *manifest = (struct manifest){
        .name = DEBIAN_NAME,
        .parts = {[PART_KERNEL] = {.file = "kernel"},
                  [PART_INITRAMFS] = {.file = "initramfs"},
                  [PART_ROOTFS] = {.file = "rootfs.ext4"}},
    };
    time_t now = time(NULL);
    struct tm utc;
    strftime(manifest->created, sizeof manifest->created, "%Y-%m-%dT%H:%M:%SZ",
             gmtime_r(&now, &utc));
    snprintf(manifest->arch, sizeof manifest->arch, "%s", arch);
    snprintf(manifest->kernel_version, sizeof manifest->kernel_version, "%s",
             result.kernel_version);
    return 0;
}

/* Where mmdebstrap works: its user without rights must get there, so not below the store. */
static int work_open(struct scratch *work, struct error *err)
{
    const char *parent = getenv("TMPDIR");
    CLEAN_FREE char *prefix = str_printf("vmdeck-build-%u-", (unsigned)geteuid());
    if (prefix == NULL)
        return error_set(err, ENOMEM, "out of memory");
    return scratch_open(parent != NULL && parent[0] == '/' ? parent : "/var/tmp", prefix, 0711,
                        work, err);
}

static int build_locked(const struct image_build *build, const char *arch, char id[IMAGE_ID_SIZE],
                        struct error *err)
{
    CLEAN_SCRATCH struct scratch work = SCRATCH_NONE;
    CLEAN_SCRATCH struct scratch object = SCRATCH_NONE;
    CLEAN_FD int tar = -1;
    struct manifest manifest;
    int rc = store_begin(&object, err);
    if (rc == 0)
        rc = work_open(&work, err);
    if (rc == 0)
        rc = tar = spool_open(work.path, err);
    if (rc < 0)
        return rc;
    rc = debian_archive(
        &(struct debian_job){
            .arch = arch,
            .tar = tar,
            .directory = work.path,
            .progress = report_archive,
            .context = (void *)build,
            .cancel = build->cancel,
        },
        err);
    if (rc == 0)
        rc = build_parts(build, arch, tar, object.path, &manifest, err);
    if (rc < 0)
        return rc;
    report(build, CONVERT_SHARE, "checking");
    rc = store_commit(&object, &manifest, IMAGE_DEFAULT, build->cancel, err);
    if (rc < 0)
        return rc;
    report(build, 1000, "done");
    memcpy(id, manifest.id, IMAGE_ID_SIZE);
    return 0;
}

int image_build_default(const struct image_build *build, char id[IMAGE_ID_SIZE], struct error *err)
{
    char arch[MANIFEST_TEXT_MAX];
    CLEAN_FD int lock = -1;
    int rc = store_machine(arch, err);
    if (rc == 0)
        rc = build_lock(build, arch, &lock, id, err);
    if (rc == 0 && id[0] == '\0')
        rc = build_locked(build, arch, id, err);
    return rc < 0 ? error_wrap(err, "cannot build the default image") : 0;
}
