/*
 * Making a template: boot a VM whose memory is the file itself, wait until its agent has nothing
 * left to do, run what every session runs first (so that it is in the page cache), stop, save the
 * devices, end QEMU, rename. It must never run again after that: the file would no longer be what
 * the devices' state belongs to.
 *
 * The kernel is given the time to find its clock and to do what it puts off after a boot (network
 * links, bitmaps, timers), and after the last command what RCU puts off: each fork would do all of
 * that anew, and for a fork that is new code to translate. Nothing tells when that is over.
 *
 * A lock per key makes all but one builder wait; what they find when they have it is the result.
 * Nothing tells a loop that a lock is free, so it looks again and again.
 */
#include "vm/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "vm/disk.h"
#include "vm/guest.h"
#include "vm/qemu.h"
#include "vm/template_cache.h"

#define BUILD_TIMEOUT_MS 120000
#define SETTLE_MS        200

struct template_build {
    uv_loop_t *loop;
    const struct template_spec *spec;
    char key[TEMPLATE_KEY_SIZE];
    void (*done)(void *context, const struct error *why);
    void *context;
    uv_timer_t timeout, settle, finish;
    int lock, hold;
    char *directory, *ram, *disk, *state; /* of the one that is being made */
    struct qemu *qemu;
    struct guest *guest;
    size_t step; /* next row of warm_up */
    bool found, saved, closed, over;
    struct error why;
    int handles;
};

static const char clock_found[] =
    "n=0; while [ $n -lt 30 ]; do read c </sys/devices/system/clocksource/clocksource0/"
    "current_clocksource; [ \"$c\" = tsc-early ] || exit 0; n=$((n + 1)); sleep 0.1; done";
static const char files_read[] =
    "cat /bin/bash /bin/sh /bin/ls /lib/*/libtinfo.so.6 /lib/*/libselinux.so.1 /etc/bash.bashrc "
    "/etc/profile /root/.bashrc /etc/passwd /etc/nsswitch.conf >/dev/null 2>&1";

/* Run one after the other; that an image has no such program does not matter. */
static const char *const warm_up[][4] = {
    {"sh", "-c", files_read, NULL}, {"true", NULL}, {"sh", "-c", clock_found, NULL},
    {"sleep", "1.2", NULL},         {"true", NULL},
};

static void build_next(struct template_build *build);

static void build_release(struct template_build *build)
{
    if (--build->handles > 0)
        return;
    cleanup_fd(&build->lock);
    cleanup_fd(&build->hold);
    free(build->directory);
    free(build->ram);
    free(build->disk);
    free(build->state);
    free(build);
}

static void build_freed(uv_handle_t *handle)
{
    build_release(handle->data);
}

/* What is left of the VM; the directory too unless it has become the template. */
static void build_clean(struct template_build *build)
{
    guest_close(build->guest);
    build->guest = NULL;
    qemu_close(build->qemu);
    build->qemu = NULL;
    if (build->directory != NULL && !build->found)
        path_remove(build->directory, NULL);
}

/* From a timer, and so from no callback of what is freed here. */
static void build_finish(uv_timer_t *timer)
{
    struct template_build *build = timer->data;
    build_clean(build);
    build->over = true;
    cleanup_fd(&build->lock);
    build->lock = -1;
    if (build->found)
        templates_trim(TEMPLATES_SIZE_MAX);
    build->done(build->context, &build->why);
}

static void build_end(struct template_build *build, const struct error *why)
{
    if (uv_is_active((uv_handle_t *)&build->finish) || build->over)
        return;
    if (why != NULL)
        build->why = *why;
    uv_timer_stop(&build->timeout);
    uv_timer_stop(&build->settle);
    uv_timer_start(&build->finish, build_finish, 0, 0);
}

static void on_timeout(uv_timer_t *timer)
{
    struct error why = {0};
    error_set(&why, ETIMEDOUT, "the template's guest did not get ready in time");
    build_end(timer->data, &why);
}

/* QEMU is gone and everything is written: into place. */
static void build_publish(struct template_build *build)
{
    CLEAN_FREE char *final = NULL;
    struct error err = {0};
    int rc = template_path(build->key, &final, &err);
    if (rc == 0 && chmod(build->ram, 0600) == 0 && rename(build->directory, final) < 0)
        rc = error_system(&err, errno, "cannot rename %s", build->directory);
    build->found = rc == 0;
    build_end(build, rc == 0 ? NULL : &err);
}

static void on_qemu_ended(void *context, const struct error *why)
{
    struct template_build *build = context;
    if (build->saved)
        build_publish(build);
    else
        build_end(build, why);
}

static void on_quit(void *context, const cJSON *result, const struct error *why)
{
    (void)context; /* on_qemu_ended() follows in either case */
    (void)result;
    (void)why;
}

static void on_saved(void *context, const cJSON *result, const struct error *why)
{
    struct template_build *build = context;
    if (result == NULL) {
        build_end(build, why);
        return;
    }
    build->saved = true;
    qmp_run(qemu_qmp(build->qemu), "quit", NULL, on_quit, build);
}

static void on_stopped(void *context, const cJSON *result, const struct error *why)
{
    struct template_build *build = context;
    if (result == NULL)
        build_end(build, why);
    else
        qemu_save_devices(build->qemu, build->state, on_saved, build);
}

static void on_quiet(void *context, uint32_t code)
{
    struct template_build *build = context;
    (void)code;
    qmp_run(qemu_qmp(build->qemu), "stop", NULL, on_stopped, build);
}

static void on_settled(uv_timer_t *timer)
{
    struct template_build *build = timer->data;
    guest_quiesce(build->guest, false, on_quiet, build);
}

static void on_failed(void *context, uint32_t code, enum wire_stage stage, const char *text)
{
    (void)code;
    (void)stage;
    (void)text;
    build_next(context);
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    (void)code;
    (void)signal;
    build_next(context);
}

static void build_next(struct template_build *build)
{
    static const struct guest_command_events events = {.failed = on_failed, .exited = on_exited};
    struct guest_command *command;
    struct error err = {0};
    CLEAN_STRV struct strv argv = {0};
    if (build->step == sizeof warm_up / sizeof warm_up[0]) {
        uv_timer_start(&build->settle, on_settled, SETTLE_MS, 0);
        return;
    }
    for (const char *const *word = warm_up[build->step++]; *word != NULL; word++)
        strv_add(&argv, *word);
    const struct guest_spawn spawn = {.argv = &argv, .no_stdin = true};
    if (guest_spawn(build->guest, &spawn, &events, build, &command, &err) < 0)
        build_end(build, &err);
}

static void on_ready(void *context)
{
    build_next(context);
}

static void on_guest_ended(void *context, const struct error *why)
{
    struct template_build *build = context;
    if (!build->saved && why->code == EPROTO)
        build_end(build, why);
}

static int build_files(struct template_build *build, struct error *err)
{
    const struct template_spec *spec = build->spec;
    int rc = template_entry(&build->directory, &build->hold, err);
    if (rc < 0)
        return rc;
    build->ram = str_printf("%s/ram", build->directory);
    build->disk = str_printf("%s/disk.qcow2", build->directory);
    build->state = str_printf("%s/state", build->directory);
    if (build->ram == NULL || build->disk == NULL || build->state == NULL)
        return error_set(err, ENOMEM, "out of memory");
    CLEAN_FD int ram = open(build->ram, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (ram < 0 || ftruncate(ram, (off_t)spec->machine.memory) < 0)
        return error_system(err, errno, "cannot make a template in %s", build->directory);
    return disk_create_overlay(build->disk, spec->rootfs, "raw", spec->disk_size, err);
}

static int build_start(struct template_build *build, struct error *err)
{
    static const struct qemu_events events = {.ended = on_qemu_ended};
    static const struct guest_events guest_events = {.ready = on_ready, .ended = on_guest_ended};
    const struct guest_settings settings = {.bare = true, .trust = build->spec->trust};
    int rc = build_files(build, err);
    if (rc < 0)
        return rc;
    struct machine machine = build->spec->machine;
    machine.name = "vmdeck-template";
    machine.disk[0] = build->disk;
    machine.disk[1] = build->spec->rootfs;
    machine.disk[2] = NULL;
    machine.ram = build->ram;
    machine.ram_shared = true;
    rc = qemu_start(&build->qemu, build->loop, &machine, -1, &events, build, err);
    if (rc == 0)
        rc = guest_open(&build->guest, build->loop, qemu_take_port(build->qemu), &settings,
                        &guest_events, build, err);
    return rc;
}

static void on_wait(uv_timer_t *timer)
{
    struct template_build *build = timer->data;
    struct template found;
    struct error err = {0};
    int rc = template_try_lock(build->key, &build->lock, &err);
    if (rc == 0) {
        uv_timer_start(&build->timeout, on_wait, TEMPLATE_RETRY_MS, 0);
        return;
    }
    if (rc > 0 && template_open(build->key, &found, NULL) == 0) {
        template_close(&found); /* somebody else made it */
        build_end(build, NULL);
        return;
    }
    uv_timer_start(&build->timeout, on_timeout, BUILD_TIMEOUT_MS, 0);
    if (rc < 0 || build_start(build, &err) < 0)
        build_end(build, &err);
}

int template_build(struct template_build **out, uv_loop_t *loop, const struct template_spec *spec,
                   const char *key, void (*done)(void *context, const struct error *why),
                   void *context, struct error *err)
{
    struct template_build *build = calloc(1, sizeof *build);
    if (build == NULL)
        return error_set(err, ENOMEM, "out of memory");
    build->loop = loop;
    build->spec = spec;
    memcpy(build->key, key, sizeof build->key);
    build->done = done;
    build->context = context;
    build->lock = build->hold = -1;
    uv_timer_init(loop, &build->timeout);
    uv_timer_init(loop, &build->settle);
    uv_timer_init(loop, &build->finish);
    build->timeout.data = build->settle.data = build->finish.data = build;
    build->handles = 3;
    uv_timer_start(&build->timeout, on_wait, 0, 0);
    *out = build;
    return 0;
}

void template_build_close(struct template_build *build)
{
    if (build == NULL || build->closed)
        return;
    build->closed = true;
    build_clean(build);
    uv_close((uv_handle_t *)&build->timeout, build_freed);
    uv_close((uv_handle_t *)&build->settle, build_freed);
    uv_close((uv_handle_t *)&build->finish, build_freed);
}
