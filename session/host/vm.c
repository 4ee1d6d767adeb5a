/*
 * Order matters for what is left behind: the session's directory is locked before anything is in
 * it, so that a directory whose lock can be taken belongs to a host that has died. Removal goes
 * the other way round. The guest's disk is an overlay in that directory.
 *
 * The image is checked (image_open) and held while the session lives, so that `image rm` cannot
 * take the backing file away.
 */
#include "session/host/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "session/host/record.h"
#include "session/store/leftover.h"
#include "vm/disk.h"

/* What vm_start() was given; one VM per process. */
static void (*vm_ready)(struct host *host);
static void (*vm_ended)(struct host *host, const struct error *why);

static void on_guest_ready(void *context)
{
    vm_ready(context);
}

/* The agent's end is only news while QEMU lives: a VM without its agent is of no use. */
static void on_guest_ended(void *context, const struct error *why)
{
    struct host *host = context;
    if (why->code == EPROTO)
        host_stop(host, why);
}

static void on_qemu_ended(void *context, const struct error *why)
{
    vm_ended(context, why);
}

/*
 * QEMU stops the VM when its disk cannot grow (werror=enospc): nobody would ever know why it
 * stands still.
 */
static void on_qemu_event(void *context, const char *name, const cJSON *data)
{
    struct host *host = context;
    struct error why = {0};
    if (strcmp(name, "BLOCK_IO_ERROR") != 0)
        return;
    bool full = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(data, "nospace"));
    error_set(&why, full ? ENOSPC : EIO, "the VM's disk cannot be written: %s: %s", host->directory,
              full ? "no space left on this host (free some, or set "
                     "XDG_STATE_HOME)"
                   : "input/output error");
    host_stop(host, &why);
}

static int vm_directory(struct host *host, struct error *err)
{
    CLEAN_FD int all = -1; /* nobody takes a session without a lock for a dead one meanwhile */
    int rc = leftover_lock(&all, err);
    if (rc == 0)
        rc = record_add(host, err);
    if (rc < 0)
        return rc;
    CLEAN_FREE char *name = str_printf("sessions/%s", host->id);
    if (name == NULL)
        return error_set(err, ENOMEM, "out of memory");
    rc = path_xdg(PATH_STATE, name, &host->directory, err);
    if (rc == 0)
        rc = path_mkdirs(host->directory, 0700, err);
    if (rc < 0)
        return rc;
    CLEAN_FREE char *lock = str_printf("%s/lock", host->directory);
    host->lock = lock != NULL ? open(lock, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (host->lock < 0 || flock(host->lock, LOCK_EX | LOCK_NB) < 0)
        return error_system(err, errno, "cannot lock %s", host->directory);
    record_session(host, "started", NULL);
    return 0;
}

static int vm_qemu(struct host *host, struct error *err)
{
    static const struct qemu_events events = {on_qemu_ended, on_qemu_event};
    enum accel_want want = ACCEL_AUTO;
    CLEAN_FREE char *binary = NULL, *initrd = NULL, *disk = NULL, *name = NULL;
    uint64_t size = host->config.rootfs_size > host->image.rootfs_size ? host->config.rootfs_size
                                                                       : host->image.rootfs_size;
    int rc = host->config.accel != NULL ? accel_parse(host->config.accel, &want, err) : 0;
    if (rc == 0)
        rc = qemu_find(host->image.arch, &binary, err);
    if (rc == 0)
        rc = accel_choose(want, binary, host->image.kernel, &host->accel, err);
    if (rc == 0)
        rc = image_initrd(&host->image, &initrd, err);
    if (rc < 0)
        return rc;
    disk = str_printf("%s/disk.qcow2", host->directory);
    name = str_printf("vmdeck-%s", host->id);
    if (disk == NULL || name == NULL)
        return error_set(err, ENOMEM, "out of memory");
    rc = disk_create_overlay(disk, host->image.rootfs, size, err);
    if (rc < 0)
        return rc;
    const struct qemu_config config = {
        .binary = binary,
        .name = name,
        .kernel = host->image.kernel,
        .initrd = initrd,
        .disk = disk,
        .memory = host->config.memory,
        .cpus = (unsigned)host->config.cpus,
        .kvm = host->accel.kvm,
    };
    return qemu_start(&host->qemu, &host->loop, &config, &events, host, err);
}

int vm_start(struct host *host, void (*ready)(struct host *host),
             void (*ended)(struct host *host, const struct error *why), struct error *err)
{
    static const struct guest_events events = {on_guest_ready, on_guest_ended};
    vm_ready = ready;
    vm_ended = ended;
    const char *selector = host->config.image != NULL ? host->config.image : IMAGE_DEFAULT;
    int rc = image_open(selector, &host->image, err);
    if (rc == 0)
        rc = image_hold(&host->image, &host->image_hold, err);
    if (rc == 0)
        rc = vm_directory(host, err);
    if (rc == 0)
        rc = vm_qemu(host, err);
    if (rc < 0)
        return rc;
    const struct guest_settings settings = {
        .hostname = host->config.name != NULL ? host->config.name : "vmdeck",
        .env = &host->config.env,
    };
    return guest_open(&host->guest, &host->loop, qemu_take_port(host->qemu), &settings, &events,
                      host, err);
}

void vm_clean(struct host *host)
{
    guest_close(host->guest);
    host->guest = NULL;
    qemu_close(host->qemu);
    host->qemu = NULL;
    if (host->directory != NULL && host->lock >= 0)
        path_remove(host->directory, NULL);
    cleanup_fd(&host->lock);
    cleanup_fd(&host->image_hold);
    host->lock = host->image_hold = -1;
    free(host->directory);
    host->directory = NULL;
    image_close(&host->image);
}
