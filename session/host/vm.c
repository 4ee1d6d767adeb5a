/*
 * Order matters for what is left behind: the session's directory is locked before anything is in
 * it, so that a directory whose lock can be taken belongs to a host that has died. Removal goes
 * the other way round. The guest's disk is an overlay in that directory.
 *
 * The image is checked (image_open) and held while the session lives, so that `image rm` cannot
 * take the backing file away; so is the template.
 *
 * A VM is forked from the template of its shape, which is made first where there is none. Whatever
 * goes wrong with a template costs time, never the session: it is thrown away and the VM boots.
 */
#include "session/host/vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "session/host/files.h"
#include "session/host/network.h"
#include "session/host/overlay.h"
#include "session/host/record.h"
#include "session/host/saving.h"
#include "session/host/snapshot.h"
#include "session/host/terminals.h"
#include "session/store/leftover.h"
#include "session/store/registry.h"
#include "vm/disk.h"
#include "vm/template.h"

#define FORK_TIMEOUT_MS 15000

static void vm_retry(uv_timer_t *timer);
static void vm_release(struct vm *vm);
static int vm_launch_snapshot(struct vm *vm, struct error *err);

static void vm_boot_instead(struct vm *vm, const struct error *why)
{
    vm->broken = *why;
    uv_timer_start(&vm->retry, vm_retry, 0, 0);
}

static void on_guest_ready(void *context)
{
    struct vm *vm = context;
    vm->up = !vm->host->spare;
    uv_timer_stop(&vm->retry);
    if (vm->forked && (vm->host->config.adopt || vm->host->revive))
        template_discard(vm->key, NULL); /* nobody else will be resumed from a file of our own */
    vm->ready(vm->host);
}

/* The agent's end is only news while QEMU lives: a VM without its agent is of no use. */
static void on_guest_ended(void *context, const struct error *why)
{
    struct vm *vm = context;
    if (why->code == EPROTO && vm->forked && !vm->up)
        vm_boot_instead(vm, why);
    else if (why->code == EPROTO)
        host_stop(vm->host, why);
}

static void on_guest_relay(void *context, uint32_t code)
{
    const struct vm *vm = context;
    files_relay_ended(vm->host, code);
}

static void on_qemu_ended(void *context, const struct error *why)
{
    struct vm *vm = context;
    if (vm->forked && !vm->up && vm->host->state == HOST_STARTING && !vm->host->spare_waits)
        vm_boot_instead(vm, why);
    else
        vm->ended(vm->host, why);
}

/*
 * QEMU stops the VM when its disk cannot grow (werror=enospc): nobody would ever know why it
 * stands still.
 */
static void on_qemu_event(void *context, const char *name, const cJSON *data)
{
    struct host *host = ((struct vm *)context)->host;
    struct error why = {0};
    if (strncmp(name, "BLOCK_JOB_", strlen("BLOCK_JOB_")) == 0)
        overlay_event(context, name, data);
    if (strcmp(name, "BLOCK_IO_ERROR") != 0)
        return;
    bool full = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(data, "nospace"));
    error_set(&why, full ? ENOSPC : EIO, "the VM's disk cannot be written: %s: %s", host->directory,
              full ? "no space left on this host (free some, or set "
                     "XDG_STATE_HOME)"
                   : "input/output error");
    host_stop(host, &why);
}

/* A snapshot's state is loaded: now it may run. */
static void on_qemu_restored(void *context)
{
    const struct vm *vm = context;
    network_reset(vm->host);
    qmp_run(qemu_qmp(vm->host->qemu), "cont", NULL, NULL, NULL);
}

static int vm_lock_directory(struct host *host, int flags, struct error *err)
{
    CLEAN_FREE char *lock = str_printf("%s/lock", host->directory);
    host->lock = lock != NULL ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600) : -1;
    if (host->lock < 0 || flock(host->lock, LOCK_EX | LOCK_NB) < 0)
        return error_system(err, errno, "cannot lock %s", host->directory);
    return 0;
}

/* Of a suspended session only its snapshot stays. */
static void vm_clear_directory(const struct host *host)
{
    const struct dirent *entry;
    DIR *dir = opendir(host->directory);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, "lock") != 0 && strcmp(entry->d_name, SUSPENDED_FILE) != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
}

/* The snapshot was made for this session alone: it comes and goes with it. */
static int vm_adopt(struct host *host, struct error *err)
{
    CLEAN_FREE char *path = str_printf("%s/forked.qcow2", host->directory);
    if (path == NULL || host->config.resume == NULL || rename(host->config.resume, path) < 0)
        return error_system(err, errno, "cannot take over %s", host->config.resume);
    free(host->config.resume);
    host->config.resume = take_ptr(path);
    return 0;
}

static int vm_directory(struct host *host, struct error *err)
{
    CLEAN_FD int all = -1; /* nobody takes a session without a lock for a dead one meanwhile */
    int rc = leftover_lock(&all, err);
    if (rc == 0)
        rc = host->revive ? record_add(host, err) : session_new_id(host->id, err);
    if (rc < 0)
        return rc;
    CLEAN_FREE char *name = str_printf("sessions/%s", host->id);
    if (name == NULL)
        return error_set(err, ENOMEM, "out of memory");
    rc = path_xdg(PATH_STATE, name, &host->directory, err);
    if (rc == 0)
        rc = path_mkdirs(host->directory, 0700, err);
    if (rc == 0)
        rc = vm_lock_directory(host, host->revive ? 0 : O_EXCL, err);
    if (rc == 0 && host->config.adopt)
        rc = vm_adopt(host, err);
    if (rc == 0 && host->revive)
        vm_clear_directory(host);
    return rc;
}

/* Into the registry, while QEMU is loading: its directory and its lock are there already. */
static int vm_record(struct host *host, struct error *err)
{
    CLEAN_FD int all = -1;
    int rc = 0;
    if (!host->spare && !host->revive)
        rc = leftover_lock(&all, err);
    if (rc == 0 && all >= 0)
        rc = record_add(host, err);
    if (rc == 0)
        record_session(host, "started", NULL);
    return rc;
}

/* What the guest is told of its session, and what that needs. A spare has no network yet. */
struct told {
    char *hostname;
    struct strv env;
    struct guest_settings settings;
};

static void told_free(struct told *told)
{
    free(told->hostname);
    strv_free(&told->env);
}
#define CLEAN_TOLD __attribute__((cleanup(told_free)))

/* Of a fork, the template's guest has been told: that is what its key says. */
static const char *vm_trust(const struct host *host)
{
    const struct vm *vm = host->vm;
    const char *trust = network_trust(host);
    bool told = trust != NULL && vm->forked && vm->snapshot == NULL && vm->trust != NULL &&
                strcmp(vm->trust, trust) == 0;
    return told ? NULL : trust;
}

static int vm_tell(struct host *host, struct told *out, struct error *err)
{
    bool resumed = vm_resumed(host) != NULL;
    int rc = host->spare ? 0 : network_open(host, qemu_take_nic(host->qemu), err);
    if (rc < 0)
        return rc;
    out->hostname = str_printf("vmdeck-%.4s", host->id);
    out->settings = (struct guest_settings){
        .hostname = host->config.name != NULL ? host->config.name
                    : resumed                 ? NULL
                                              : out->hostname,
        .env = &out->env,
        .trust = vm_trust(host),
        .offline = host->config.no_net,
        .restored = resumed,
    };
    if (out->hostname == NULL || network_environment(host, &out->env) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

int vm_wake(struct host *host, struct error *err)
{
    CLEAN_TOLD struct told told = {0};
    int rc = vm_tell(host, &told, err);
    if (rc < 0)
        return rc;
    host->vm->up = false;
    qmp_run(qemu_qmp(host->qemu), "cont", NULL, NULL, NULL);
    uv_timer_start(&host->vm->retry, vm_retry, FORK_TIMEOUT_MS, 0);
    rc = files_start(host, NULL, err);
    return rc == 0 ? guest_configure_again(host->guest, &told.settings, err) : rc;
}

char *vm_file(struct vm *vm, const char *stem)
{
    return str_printf("%s/%s%u", vm->host->directory, stem, vm->files++);
}

/* QEMU and the agent's connection; the machine's memory and the disk's lower layers are there. */
static int vm_run(struct vm *vm, struct machine *machine, const char *below, int state,
                  struct error *err)
{
    static const struct qemu_events events = {on_qemu_ended, on_qemu_event, on_qemu_restored};
    static const struct guest_events guest_events = {on_guest_ready, on_guest_ended,
                                                     on_guest_relay};
    struct host *host = vm->host;
    CLEAN_TOLD struct told told = {0};
    CLEAN_FREE char *disk = vm_file(vm, "disk");
    vm->own = vm->layers.count;
    memcpy(vm->top, "root", sizeof "root");
    if (disk == NULL || strv_add(&vm->layers, disk) < 0)
        return error_set(err, ENOMEM, "out of memory");
    int rc = disk_create_overlay(disk, below, below == vm->spec.rootfs ? "raw" : "qcow2",
                                 vm->spec.disk_size, err);
    machine->name = vm->name;
    machine->disk[0] = disk;
    machine->disk[1] = below;
    machine->disk[2] = below == vm->spec.rootfs ? NULL : vm->spec.rootfs;
    if (rc == 0)
        rc = qemu_start(&host->qemu, &host->loop, machine, state, &events, vm, err);
    if (rc == 0)
        rc = vm_tell(host, &told, err);
    told.settings.eager = machine->restore;
    if (rc == 0)
        rc = guest_open(&host->guest, &host->loop, qemu_take_port(host->qemu), &told.settings,
                        &guest_events, vm, err);
    bool resumed = machine->restore && vm_resumed(host) != NULL;
    if (rc == 0 && !host->spare)
        rc = files_start(host, resumed ? vm->snapshot : NULL, err);
    return rc;
}

static int vm_boot(struct vm *vm, struct error *err)
{
    struct machine machine = vm->spec.machine;
    machine.ram = vm->ram;
    CLEAN_FD int ram = open(vm->ram, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (ram < 0 || ftruncate(ram, (off_t)machine.memory) < 0)
        return error_system(err, errno, "cannot create %s", vm->ram);
    vm->ram_fd = take_fd(&ram);
    const char *below = vm->snapshot != NULL ? vm->host->config.resume : vm->spec.rootfs;
    return vm_run(vm, &machine, below, -1, err);
}

/* From the template, or from a snapshot's memory, which is one without a disk. */
static int vm_fork(struct vm *vm, struct error *err)
{
    struct machine machine = vm->spec.machine;
    bool resumed = vm->snapshot != NULL;
    CLEAN_FREE char *below = str_printf("/proc/self/fd/%d", vm->template.disk_fd);
    if (!resumed && (below == NULL || strv_add(&vm->layers, below) < 0))
        return error_set(err, ENOMEM, "out of memory");
    machine.kernel = NULL;
    machine.ram = vm->template.ram;
    machine.restore = true;
    machine.stopped = resumed; /* the network is told first */
    vm->ram_fd = vm->template.ram_fd;
    vm->forked = true;
    int rc = vm_run(vm, &machine, resumed ? vm->host->config.resume : vm->template.disk,
                    vm->template.state, err);
    if (rc == 0 && resumed)
        rc = terminals_resume(vm->host, snapfile_manifest(vm->snapshot), vm->snapshot, err);
    if (rc == 0)
        uv_timer_start(&vm->retry, vm_retry, FORK_TIMEOUT_MS, 0);
    return rc;
}

/* Everything as before the fork was tried. */
static void vm_unfork(struct vm *vm)
{
    struct host *host = vm->host;
    terminals_close(host);
    files_close(host);
    guest_close(host->guest);
    network_close(host);
    qemu_close(host->qemu);
    host->guest = NULL;
    host->qemu = NULL;
    strv_free(&vm->layers);
    vm->ram_fd = -1; /* the template's */
    template_discard(vm->key, &vm->template);
    template_close(&vm->template);
    vm->forked = false;
    vm->broken = (struct error){0};
}

/* What was resumed can be had in one other way only: from its file, if it came from the cache. */
static void vm_not_resumed(struct vm *vm)
{
    struct error why = vm->broken;
    const char *made = snapshot_qemu(vm->snapshot), *is = "";
    if (vm->host->qemu != NULL)
        is = qmp_version(qemu_qmp(vm->host->qemu));
    bool other = *is != '\0' && made != NULL && strcmp(made, is) != 0;
    if (vm->cached && !other) {
        log_warn(LOG_HOST, "the cached memory of %s does not work and is removed: %s",
                 vm->host->config.resume,
                 why.code != 0 ? why.message : "its guest does not answer");
        vm_unfork(vm);
        if (vm_launch_snapshot(vm, &why) < 0)
            host_stop(vm->host, &why);
        return;
    }
    if (other)
        error_set(&why, ENOTSUP,
                  "%s was made by QEMU %s and this is %s: its memory cannot be restored (--cold "
                  "boots from its disk)",
                  vm->host->config.resume, made, is);
    else if (why.code == 0)
        error_set(&why, ETIMEDOUT, "%s: the restored guest does not answer",
                  vm->host->config.resume);
    else
        error_wrap(&why, "%s", vm->host->config.resume);
    host_stop(vm->host, &why);
}

/* The fork did not get ready, in time or at all. */
static void vm_retry(uv_timer_t *timer)
{
    struct vm *vm = timer->data;
    struct host *host = vm->host;
    struct error err = {0};
    if (host->state != HOST_STARTING)
        return;
    if (vm->snapshot != NULL) {
        vm_not_resumed(vm);
        return;
    }
    log_warn(LOG_HOST, "the template %s does not work and is removed: %s; booting", vm->key,
             vm->broken.code != 0 ? vm->broken.message : "its guest does not answer");
    vm_unfork(vm);
    if (vm_boot(vm, &err) < 0)
        host_stop(host, &err);
}

/* There is a template now, or there is none after all. */
static void vm_built(void *context, const struct error *why)
{
    struct vm *vm = context;
    struct error err = {0};
    if (vm->host->state != HOST_STARTING)
        return;
    if (why->code != 0)
        log_warn(LOG_HOST, "no template could be made: %s; booting", why->message);
    int rc =
        template_open(vm->key, &vm->template, &err) == 0 ? vm_fork(vm, &err) : vm_boot(vm, &err);
    if (rc < 0)
        host_stop(vm->host, &err);
}

/* On a worker thread: the snapshot's content, and its memory where it can be mapped. */
static void vm_read_snapshot(uv_work_t *work)
{
    struct vm *vm = work->data;
    int rc = snapfile_verify(vm->snapshot, &vm->cancel, &vm->broken);
    if (rc == 0 && vm_resumed(vm->host) != NULL)
        rc = template_restore(vm->snapshot, vm->key, vm->spec.machine.memory, &vm->cancel,
                              &vm->cached, &vm->broken);
    if (rc < 0)
        error_wrap(&vm->broken, "%s", vm->host->config.resume);
}

static void vm_snapshot_read(uv_work_t *work, int status)
{
    struct vm *vm = work->data;
    struct error err = vm->broken;
    (void)status;
    vm->working = false;
    if (vm->host->state != HOST_STARTING) {
        vm_release(vm);
        return;
    }
    int rc = err.code != 0 ? -err.code : 0;
    if (rc == 0 && vm_resumed(vm->host) != NULL) {
        rc = template_open(vm->key, &vm->template, &err);
        if (rc == 0)
            rc = vm_fork(vm, &err);
    } else if (rc == 0) {
        rc = vm_boot(vm, &err);
    }
    if (rc < 0)
        host_stop(vm->host, &err);
}

/* The shape of the VM, and where its files are. */
static int vm_describe(struct vm *vm, struct error *err)
{
    struct host *host = vm->host;
    enum accel_want want = ACCEL_AUTO;
    int rc = host->config.accel != NULL ? accel_parse(host->config.accel, &want, err) : 0;
    if (rc == 0)
        rc = qemu_find(host->image.arch, &vm->binary, err);
    if (rc == 0)
        rc = accel_choose(want, vm->binary, host->image.kernel, &host->accel, err);
    if (rc == 0)
        rc = image_initrd(&host->image, &vm->initrd, err);
    if (rc < 0)
        return rc;
    vm->ram = str_printf("%s/ram", host->directory);
    vm->name = str_printf("vmdeck-%s", host->id);
    if (vm->ram == NULL || vm->name == NULL)
        return error_set(err, ENOMEM, "out of memory");
    vm->spec = (struct template_spec){
        .machine = {.binary = vm->binary,
                    .kernel = host->image.kernel,
                    .initrd = vm->initrd,
                    .memory = host->config.memory,
                    .cpus = (unsigned)host->config.cpus,
                    .kvm = host->accel.kvm},
        .image_id = host->image.id,
        .rootfs = host->image.rootfs,
        .disk_size = host->config.rootfs_size > host->image.rootfs_size ? host->config.rootfs_size
                                                                        : host->image.rootfs_size,
    };
    return machine_shape(&vm->spec.machine, vm->shape, err);
}

static int vm_launch_snapshot(struct vm *vm, struct error *err)
{
    CLEAN_FREE char *file = str_printf("/proc/self/fd/%d", snapfile_fd(vm->snapshot));
    if (file == NULL || strv_add(&vm->layers, file) < 0)
        return error_set(err, ENOMEM, "out of memory");
    int rc = vm_resumed(vm->host) != NULL
                 ? snapshot_key(vm->snapshot, vm->shape, vm->host->config.resume, vm->key, err)
                 : 0;
    if (rc < 0)
        return rc;
    vm->work.data = vm;
    vm->working = true;
    uv_queue_work(&vm->host->loop, &vm->work, vm_read_snapshot, vm_snapshot_read);
    return 0;
}

static int vm_launch(struct vm *vm, struct error *err)
{
    int rc = vm_describe(vm, err);
    if (rc < 0)
        return rc;
    if (vm->snapshot != NULL)
        return vm_launch_snapshot(vm, err);
    if (vm->host->config.cold)
        return vm_boot(vm, err);
    rc = network_authority(&vm->trust, err);
    vm->spec.trust = vm->trust;
    if (rc == 0)
        rc = template_key(&vm->spec, vm->key, err);
    if (rc < 0)
        return rc;
    if (template_open(vm->key, &vm->template, NULL) == 0)
        return vm_fork(vm, err);
    return template_build(&vm->build, &vm->host->loop, &vm->spec, vm->key, vm_built, vm, err);
}

/* The image that is asked for; that of the snapshot where there is one. */
static int vm_image(struct vm *vm, struct error *err)
{
    struct host *host = vm->host;
    if (host->config.resume == NULL) {
        const char *selector = host->config.image != NULL ? host->config.image : IMAGE_DEFAULT;
        return image_open(selector, &host->image, err);
    }
    int rc = snapfile_open(&vm->snapshot, host->config.resume, err);
    return rc == 0 ? snapshot_apply(vm->snapshot, host, err) : rc;
}

int vm_start(struct host *host, void (*ready)(struct host *host),
             void (*ended)(struct host *host, const struct error *why), struct error *err)
{
    struct vm *vm = calloc(1, sizeof *vm);
    if (vm == NULL)
        return error_set(err, ENOMEM, "out of memory");
    *vm = (struct vm){.host = host, .ready = ready, .ended = ended, .ram_fd = -1};
    uv_timer_init(&host->loop, &vm->retry);
    vm->retry.data = vm;
    host->vm = vm;
    int rc = vm_image(vm, err);
    if (rc == 0)
        rc = image_hold(&host->image, &host->image_hold, err);
    if (rc == 0)
        rc = vm_directory(host, err);
    if (rc == 0)
        rc = vm_launch(vm, err);
    return rc == 0 ? vm_record(host, err) : rc;
}

const cJSON *vm_resumed(const struct host *host)
{
    const struct vm *vm = host->vm;
    if (vm == NULL || vm->snapshot == NULL || host->config.cold)
        return NULL;
    const cJSON *manifest = snapfile_manifest(vm->snapshot);
    return snapshot_has_memory(manifest) ? manifest : NULL;
}

static void vm_release(struct vm *vm)
{
    if (vm->working || !vm->closed)
        return; /* the worker's end, or the handle's, comes here again */
    if (vm->ram_fd != vm->template.ram_fd)
        cleanup_fd(&vm->ram_fd);
    template_close(&vm->template);
    snapfile_close(vm->snapshot);
    strv_free(&vm->layers);
    free(vm->binary);
    free(vm->initrd);
    free(vm->trust);
    free(vm->name);
    free(vm->ram);
    free(vm->overlay);
    free(vm);
}

static void vm_closed(uv_handle_t *handle)
{
    struct vm *vm = handle->data;
    vm->closed = true;
    vm_release(vm);
}

void vm_clean(struct host *host)
{
    if (host->qemu != NULL)
        qemu_abort(host->qemu);
    files_close(host);
    guest_close(host->guest);
    host->guest = NULL;
    network_free(host);
    if (host->vm != NULL) {
        host->vm->cancel = 1;
        template_build_close(host->vm->build);
        uv_close((uv_handle_t *)&host->vm->retry, vm_closed);
    }
    host->vm = NULL;
    if (host->directory != NULL && host->lock >= 0 && host->suspended)
        vm_clear_directory(host);
    else if (host->directory != NULL && host->lock >= 0)
        path_remove(host->directory, NULL);
    cleanup_fd(&host->lock);
    cleanup_fd(&host->image_hold);
    host->lock = host->image_hold = -1;
    free(host->directory);
    host->directory = NULL;
    image_close(&host->image);
}

void vm_bury(struct host *host)
{
    qemu_close(host->qemu);
    host->qemu = NULL;
}
