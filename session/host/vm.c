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

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "session/host/record.h"
#include "session/store/leftover.h"
#include "vm/disk.h"
#include "vm/template.h"

#define FORK_TIMEOUT_MS 15000

struct vm {
    struct host *host;
    void (*ready)(struct host *host);
    void (*ended)(struct host *host, const struct error *why);
    struct template_spec spec;
    char *binary, *initrd, *name, *disk, *ram;
    char key[TEMPLATE_KEY_SIZE];
    struct template template;
    struct template_build *build;
    bool forked;         /* from a template */
    bool up;             /* the guest has been ready */
    struct error broken; /* why the fork did not work */
    uv_timer_t retry;    /* boots instead, from no callback of what it frees */
};

static void vm_retry(uv_timer_t *timer);

static void vm_boot_instead(struct vm *vm, const struct error *why)
{
    vm->broken = *why;
    uv_timer_start(&vm->retry, vm_retry, 0, 0);
}

static void on_guest_ready(void *context)
{
    struct vm *vm = context;
    vm->up = true;
    uv_timer_stop(&vm->retry);
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

static void on_qemu_ended(void *context, const struct error *why)
{
    struct vm *vm = context;
    if (vm->forked && !vm->up && vm->host->state == HOST_STARTING)
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
    if (strcmp(name, "BLOCK_IO_ERROR") != 0)
        return;
    bool full = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(data, "nospace"));
    error_set(&why, full ? ENOSPC : EIO, "the VM's disk cannot be written: %s: %s", host->directory,
              full ? "no space left on this host (free some, or set "
                     "XDG_STATE_HOME)"
                   : "input/output error");
    host_stop(host, &why);
}

/* The state is loaded: now it may run. */
static void on_qemu_restored(void *context)
{
    struct vm *vm = context;
    qmp_run(qemu_qmp(vm->host->qemu), "cont", NULL, NULL, NULL);
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

/* QEMU and the agent's connection; the machine's memory and disk are there. */
static int vm_run(struct vm *vm, struct machine *machine, int state, struct error *err)
{
    static const struct qemu_events events = {on_qemu_ended, on_qemu_event, on_qemu_restored};
    static const struct guest_events guest_events = {on_guest_ready, on_guest_ended};
    struct host *host = vm->host;
    const struct guest_settings settings = {
        .hostname = host->config.name != NULL ? host->config.name : "vmdeck",
        .env = &host->config.env,
        .eager = machine->restore,
    };
    machine->name = vm->name;
    machine->disk[0] = vm->disk;
    int rc = qemu_start(&host->qemu, &host->loop, machine, state, &events, vm, err);
    if (rc == 0)
        rc = guest_open(&host->guest, &host->loop, qemu_take_port(host->qemu), &settings,
                        &guest_events, vm, err);
    return rc;
}

static int vm_boot(struct vm *vm, struct error *err)
{
    struct machine machine = vm->spec.machine;
    machine.disk[1] = vm->spec.rootfs;
    machine.ram = vm->ram;
    int rc = disk_create_overlay(vm->disk, vm->spec.rootfs, "raw", vm->spec.disk_size, err);
    CLEAN_FD int ram = rc == 0 ? open(vm->ram, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (rc == 0 && (ram < 0 || ftruncate(ram, (off_t)machine.memory) < 0))
        rc = error_system(err, errno, "cannot create %s", vm->ram);
    return rc == 0 ? vm_run(vm, &machine, -1, err) : rc;
}

static int vm_fork(struct vm *vm, struct error *err)
{
    struct machine machine = vm->spec.machine;
    machine.kernel = NULL;
    machine.disk[1] = vm->template.disk;
    machine.disk[2] = vm->spec.rootfs;
    machine.ram = vm->template.ram;
    machine.restore = true;
    int rc = disk_create_overlay(vm->disk, vm->template.disk, "qcow2", vm->spec.disk_size, err);
    if (rc == 0)
        rc = vm_run(vm, &machine, vm->template.state, err);
    vm->forked = rc == 0;
    if (rc == 0)
        uv_timer_start(&vm->retry, vm_retry, FORK_TIMEOUT_MS, 0);
    return rc;
}

/* The fork did not get ready, in time or at all. */
static void vm_retry(uv_timer_t *timer)
{
    struct vm *vm = timer->data;
    struct host *host = vm->host;
    struct error err = {0};
    if (host->state != HOST_STARTING)
        return;
    log_warn(LOG_HOST, "the template %s does not work and is removed: %s; booting", vm->key,
             vm->broken.code != 0 ? vm->broken.message : "its guest does not answer");
    vm->forked = false;
    vm->broken = (struct error){0};
    template_discard(vm->key);
    guest_close(host->guest);
    qemu_close(host->qemu);
    host->guest = NULL;
    host->qemu = NULL;
    unlink(vm->disk);
    template_close(&vm->template);
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
    vm->disk = str_printf("%s/disk.qcow2", host->directory);
    vm->ram = str_printf("%s/ram", host->directory);
    vm->name = str_printf("vmdeck-%s", host->id);
    if (vm->disk == NULL || vm->ram == NULL || vm->name == NULL)
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
    return template_key(&vm->spec, vm->key, err);
}

static int vm_launch(struct vm *vm, struct error *err)
{
    int rc = vm_describe(vm, err);
    if (rc < 0)
        return rc;
    if (vm->host->config.cold)
        return vm_boot(vm, err);
    if (template_open(vm->key, &vm->template, NULL) == 0)
        return vm_fork(vm, err);
    return template_build(&vm->build, &vm->host->loop, &vm->spec, vm->key, vm_built, vm, err);
}

int vm_start(struct host *host, void (*ready)(struct host *host),
             void (*ended)(struct host *host, const struct error *why), struct error *err)
{
    struct vm *vm = calloc(1, sizeof *vm);
    if (vm == NULL)
        return error_set(err, ENOMEM, "out of memory");
    *vm = (struct vm){.host = host, .ready = ready, .ended = ended};
    uv_timer_init(&host->loop, &vm->retry);
    vm->retry.data = vm;
    host->vm = vm;
    const char *selector = host->config.image != NULL ? host->config.image : IMAGE_DEFAULT;
    int rc = image_open(selector, &host->image, err);
    if (rc == 0)
        rc = image_hold(&host->image, &host->image_hold, err);
    if (rc == 0)
        rc = vm_directory(host, err);
    return rc == 0 ? vm_launch(vm, err) : rc;
}

static void vm_freed(uv_handle_t *handle)
{
    struct vm *vm = handle->data;
    template_close(&vm->template);
    free(vm->binary);
    free(vm->initrd);
    free(vm->name);
    free(vm->disk);
    free(vm->ram);
    free(vm);
}

void vm_clean(struct host *host)
{
    guest_close(host->guest);
    host->guest = NULL;
    qemu_close(host->qemu);
    host->qemu = NULL;
    if (host->vm != NULL) {
        template_build_close(host->vm->build);
        uv_close((uv_handle_t *)&host->vm->retry, vm_freed);
    }
    host->vm = NULL;
    if (host->directory != NULL && host->lock >= 0)
        path_remove(host->directory, NULL);
    cleanup_fd(&host->lock);
    cleanup_fd(&host->image_hold);
    host->lock = host->image_hold = -1;
    free(host->directory);
    host->directory = NULL;
    image_close(&host->image);
}
