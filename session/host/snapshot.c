/*
 * Taking a snapshot, step by step:
 *
 *     the VM runs      make the file, find what the guest has changed of its memory   (worker)
 *                      the agent and the mounts stand still: no byte is on its way
 *     it is stopped    terminals, devices' state; copy the changed memory             (worker)
 *                      where it is to go on: a new overlay on the disk, so that the old one stays
 *     it runs again    write disk, memory and manifest, sync, give the file its name  (worker)
 *                      put the new overlay's content into the old one
 *
 * A session that ends with the snapshot stays stopped until the file is complete: should it fail
 * (a full disk), the session just goes on.
 *
 * `suspend` is the same into the session's directory, which then stays; `fork` is a snapshot from
 * which a new session host is started, and which belongs to that.
 */
#include "session/host/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "session/host/files.h"
#include "session/host/fork.h"
#include "session/host/overlay.h"
#include "session/host/record.h"
#include "session/host/saving.h"
#include "session/host/terminals.h"
#include "session/host/vm.h"
#include "session/protocol/json.h"
#include "session/store/leftover.h"
#include "session/store/snapshots.h"

#define QUIET_TIMEOUT_MS 5000 /* a guest whose agent gets no processor for that long is stuck */

static void saving_fail(struct saving *saving);

static void saving_freed(uv_handle_t *handle)
{
    struct saving *saving = handle->data;
    snapfile_abort(saving->writer);
    memory_release(saving->memory);
    buf_free(&saving->terminals);
    cJSON_Delete(saving->manifest);
    free(saving->path);
    free(saving->name);
    free(saving->state);
    free(saving->files);
    free(saving->rootfs);
    strv_free(&saving->layers);
    free(saving);
}

static void saving_end(struct saving *saving)
{
    struct host *host = saving->host;
    if (saving->state != NULL)
        unlink(saving->state);
    fork_cancel(saving->forking);
    saving->forking = NULL;
    saving->over = true;
    if (saving->files != NULL)
        unlink(saving->files);
    host->saving = NULL;
    uv_close((uv_handle_t *)&saving->timeout, saving_freed);
    if (host->state == HOST_STOPPING && (host->qemu == NULL || qemu_pid(host->qemu) == 0))
        host_finish_soon(host); /* it waited for us */
}

static void saving_progress(struct saving *saving, unsigned per_mille, const char *step)
{
    if (saving->peer == NULL)
        return;
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", "progress");
    cJSON_AddNumberToObject(event, "per_mille", per_mille);
    cJSON_AddStringToObject(event, "step", step);
    peer_event(saving->peer, event);
}

/* Runs a step on a worker thread. */
static void saving_work(struct saving *saving, uv_work_cb run, uv_after_work_cb done)
{
    saving->work.data = saving;
    saving->working = true;
    uv_queue_work(&saving->host->loop, &saving->work, run, done);
}

/* True if a step may begin: nothing has failed, nobody has given up, the VM is there. */
static bool saving_goes_on(struct saving *saving)
{
    if (saving->over)
        return false;
    if (saving->error.code == 0 && saving->cancel)
        error_set(&saving->error, ECANCELED, "the snapshot was given up");
    if (saving->error.code == 0 && saving->host->state != HOST_RUNNING)
        error_set(&saving->error, ECANCELED, "the session ended");
    if (saving->error.code == 0)
        return true;
    saving_fail(saving);
    return false;
}

/* --- the end */

static void on_continued(void *context, const cJSON *result, const struct error *why)
{
    (void)context;
    if (result == NULL)
        log_warn(LOG_HOST, "the VM does not go on: %s", why->message);
}

/* The VM goes on where it stood. */
static void saving_let_go(struct saving *saving)
{
    struct host *host = saving->host;
    files_resume(host);
    if (host->qemu == NULL || qemu_pid(host->qemu) == 0 || host->state != HOST_RUNNING)
        return;
    if (saving->stopped) {
        qmp_run(qemu_qmp(host->qemu), "cont", NULL, on_continued, NULL);
        saving->stood_ns = uv_hrtime() - saving->stopped_at;
    }
    if (saving->still && host->guest != NULL)
        guest_resume(host->guest);
    saving->stopped = saving->still = false;
}

static void saving_fail(struct saving *saving)
{
    uv_timer_stop(&saving->timeout);
    if (saving->error.code == 0)
        error_set(&saving->error, EIO, "the snapshot failed");
    saving_let_go(saving);
    if (saving->peer != NULL)
        peer_reply(saving->peer, saving->request, NULL, &saving->error);
    if (saving->purpose == SAVE_FORK && saving->path != NULL)
        unlink(saving->path);
    saving_end(saving);
}

static void saving_reply(struct saving *saving, cJSON *reply)
{
    if (saving->stopped) /* and it stays so */
        saving->stood_ns = uv_hrtime() - saving->stopped_at;
    const uint64_t microseconds = saving->stood_ns / 1000;
    cJSON_AddNumberToObject(reply, "stopped_ms", (double)microseconds / 1000);
    if (saving->peer != NULL)
        peer_reply(saving->peer, saving->request, reply, NULL);
    else
        cJSON_Delete(reply);
}

static void fork_done(void *context, const cJSON *answer, const struct error *why)
{
    struct saving *saving = context;
    cJSON *reply;
    saving->forking = NULL;
    if (answer == NULL) {
        saving->error = *why;
        saving_fail(saving);
        return;
    }
    const char *session = json_string(answer, "session");
    const cJSON *notes = cJSON_GetObjectItemCaseSensitive(answer, "notes");
    reply = cJSON_CreateObject();
    cJSON_AddStringToObject(reply, "session", session);
    if (notes != NULL)
        cJSON_AddItemToObject(reply, "notes", cJSON_Duplicate(notes, true));
    record_session(saving->host, "forked", session);
    saving_reply(saving, reply);
    saving_end(saving);
}

static void saving_complete(struct saving *saving)
{
    struct host *host = saving->host;
    struct stat st;
    if (saving->purpose == SAVE_FORK) {
        struct error err = {0};
        if (fork_session(&saving->forking, host, saving->path, saving->name, fork_done, saving,
                         &err) < 0) {
            saving->error = err;
            saving_fail(saving);
        }
        return;
    }
    cJSON *reply = cJSON_CreateObject();
    cJSON_AddStringToObject(reply, "path", saving->path);
    if (saving->purpose == SAVE_SNAPSHOT) {
        cJSON_AddStringToObject(reply, "snapshot", saving->id);
        cJSON_AddNumberToObject(reply, "size",
                                stat(saving->path, &st) == 0 ? (double)st.st_size : 0);
        record_session(host, "snapshotted", saving->path);
    }
    saving_reply(saving, reply);
    host->suspended = saving->purpose == SAVE_SUSPEND;
    bool over = !saving->keep_running;
    saving_end(saving);
    if (over)
        host_discard(host);
}

static void on_committed(void *context, const struct error *why)
{
    struct saving *saving = context;
    if (saving->over)
        return;
    if (why->code != 0)
        log_warn(LOG_HOST, "%s", why->message);
    if (saving->error.code != 0)
        saving_fail(saving);
    else
        saving_complete(saving);
}

/* --- writing, while the VM runs again or waits for its end */

static int write_pages(void *context, const void *data, size_t size, struct error *err)
{
    return snapfile_add(context, data, size, err);
}

/* The mounts; a session that never had any has no such section. */
static int write_files(struct saving *saving, struct error *err)
{
    CLEAN_FD int files = open(saving->files, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (files < 0 || fstat(files, &st) < 0)
        return error_system(err, errno, "cannot open %s", saving->files);
    int rc = st.st_size > 0 ? snapfile_begin(saving->writer, SNAPFILE_FILES, err) : 0;
    return rc == 0 && st.st_size > 0 ? snapfile_add_fd(saving->writer, files, 0,
                                                       (uint64_t)st.st_size, &saving->cancel, err)
                                     : rc;
}

static int write_memory(struct saving *saving, struct error *err)
{
    CLEAN_BUF struct buf map = {0};
    const struct memory_sink sink = {write_pages, saving->writer};
    CLEAN_FD int state = open(saving->state, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (state < 0 || fstat(state, &st) < 0)
        return error_system(err, errno, "cannot open %s", saving->state);
    int rc = snapfile_begin(saving->writer, SNAPFILE_DEVICE_STATE, err);
    if (rc == 0)
        rc = snapfile_add_fd(saving->writer, state, 0, (uint64_t)st.st_size, &saving->cancel, err);
    if (rc == 0)
        rc = snapfile_begin(saving->writer, SNAPFILE_MEMORY, err);
    if (rc == 0)
        rc = memory_write(saving->memory, &sink, &map, &saving->cancel, err);
    if (rc == 0)
        rc = snapfile_begin(saving->writer, SNAPFILE_MEMORY_MAP, err);
    if (rc == 0)
        rc = snapfile_add(saving->writer, buf_data(&map), buf_len(&map), err);
    if (rc == 0)
        rc = snapfile_begin(saving->writer, SNAPFILE_TERMINALS, err);
    if (rc == 0)
        rc = snapfile_add(saving->writer, buf_data(&saving->terminals), buf_len(&saving->terminals),
                          err);
    return rc == 0 ? write_files(saving, err) : rc;
}

/* The file is there: into the index, or to where a suspended session is looked for. */
static int file_complete(struct saving *saving, struct error *err)
{
    if (saving->purpose == SAVE_SUSPEND) {
        CLEAN_FREE char *final = str_printf("%s/" SUSPENDED_FILE, saving->directory);
        if (final == NULL || rename(saving->path, final) < 0)
            return error_system(err, errno, "cannot rename %s", saving->path);
        free(saving->path);
        saving->path = take_ptr(final);
        return 0;
    }
    if (saving->purpose == SAVE_FORK)
        return 0;
    struct registry *registry = NULL;
    struct stat st;
    struct snapshot_record row = saving->row;
    row.size = stat(saving->path, &st) == 0 ? (int64_t)st.st_size : 0;
    int rc = registry_open(&registry, NULL, err);
    if (rc == 0)
        rc = snapshot_add(registry, &row, err);
    registry_close(registry);
    memcpy(saving->id, row.id, sizeof saving->id);
    if (rc < 0)
        snapfile_remove(saving->path, NULL);
    return rc;
}

static void work_write(uv_work_t *work)
{
    struct saving *saving = work->data;
    struct error *err = &saving->error;
    const char *layers[VM_LAYERS_MAX];
    for (size_t i = 0; i < saving->layers.count; i++) /* top first */
        layers[i] = saving->layers.items[saving->layers.count - 1 - i];
    int rc = snapfile_disk(saving->writer, layers, saving->layers.count, saving->rootfs,
                           saving->disk_size, &saving->cancel, err);
    if (rc == 0 && !saving->disk_only)
        rc = write_memory(saving, err);
    if (rc == 0)
        rc = snapfile_finish(saving->writer, saving->manifest, err);
    if (rc == 0)
        file_complete(saving, err); /* its error is the saving's */
    memory_release(saving->memory);
    saving->memory = NULL;
}

static void work_written(uv_work_t *work, int status)
{
    struct saving *saving = work->data;
    (void)status;
    saving->working = false;
    if (saving->keep_running && saving->host->state == HOST_RUNNING)
        overlay_commit(saving->host->vm, on_committed, saving); /* whether it failed or not */
    else if (saving->error.code != 0)
        saving_fail(saving);
    else
        saving_complete(saving); /* a file that is there is not given up any more */
}

static void saving_write(struct saving *saving)
{
    saving_progress(saving, 400, "writing the snapshot");
    saving_work(saving, work_write, work_written);
}

/* --- while it is stopped */

static void on_overlaid(void *context, const struct error *why)
{
    struct saving *saving = context;
    if (why->code != 0 && saving->error.code == 0)
        saving->error = *why;
    saving_let_go(saving);
    if (saving_goes_on(saving))
        saving_write(saving);
}

/* Devices and memory are saved. */
static void saving_captured(struct saving *saving)
{
    if (saving->devices_left || saving->memory_left)
        return;
    if (!saving_goes_on(saving))
        return;
    if (saving->keep_running)
        overlay_add(saving->host->vm, on_overlaid, saving);
    else
        saving_write(saving);
}

static void on_devices_saved(void *context, const cJSON *result, const struct error *why)
{
    struct saving *saving = context;
    if (result == NULL && saving->error.code == 0)
        saving->error = *why;
    saving->devices_left = false;
    saving_captured(saving);
}

/* Nothing touches the mounts meanwhile: the guest stands still, requests are refused. */
static int capture_files(const struct saving *saving, struct error *err)
{
    FILE *out = fopen(saving->files, "we");
    if (out == NULL)
        return error_system(err, errno, "cannot create %s", saving->files);
    int rc = files_save(saving->host, out, err);
    if (fclose(out) != 0 && rc == 0)
        rc = error_system(err, errno, "cannot write %s", saving->files);
    return rc;
}

static void work_capture(uv_work_t *work)
{
    struct saving *saving = work->data;
    struct error err = {0};
    if (memory_capture(saving->memory, &err) < 0 || capture_files(saving, &err) < 0)
        saving->capture_error = err;
}

static void work_captured(uv_work_t *work, int status)
{
    struct saving *saving = work->data;
    (void)status;
    saving->working = false;
    saving->memory_left = false;
    if (saving->error.code == 0)
        saving->error = saving->capture_error;
    saving_captured(saving);
}

static void on_stopped(void *context, const cJSON *result, const struct error *why)
{
    struct saving *saving = context;
    struct host *host = saving->host;
    if (result == NULL && saving->error.code == 0)
        saving->error = *why;
    if (!saving_goes_on(saving))
        return;
    saving->stopped = true;
    saving->manifest = saving_manifest(saving, &saving->error);
    for (size_t i = 0; i < host->vm->layers.count; i++)
        strv_add(&saving->layers, host->vm->layers.items[i]);
    if (!saving_goes_on(saving))
        return;
    if (saving->disk_only) {
        saving_captured(saving);
        return;
    }
    saving->devices_left = saving->memory_left = true;
    saving_work(saving, work_capture, work_captured);
    qemu_save_devices(host->qemu, saving->state, on_devices_saved, saving);
}

/* --- before */

static void on_files_quiet(void *context)
{
    struct saving *saving = context;
    uv_timer_stop(&saving->timeout);
    if (!saving_goes_on(saving))
        return;
    saving->stopped_at = uv_hrtime();
    qmp_run(qemu_qmp(saving->host->qemu), "stop", NULL, on_stopped, saving);
}

/* The mounts are last: the agent must not be waiting for one of them. */
static void on_quiet(void *context, uint32_t code)
{
    struct saving *saving = context;
    saving->agent_quiet = true;
    if (code != 0)
        error_system(&saving->error, (int)code, "the guest cannot hold its file system still");
    if (!saving_goes_on(saving))
        return;
    if (saving->disk_only)
        on_files_quiet(saving);
    else
        files_pause(saving->host, on_files_quiet, saving);
}

static void on_quiet_timeout(uv_timer_t *timer)
{
    struct saving *saving = timer->data;
    error_set(&saving->error, ETIMEDOUT, "%s",
              saving->agent_quiet ? "a file system of this host does not answer (see the mounts)"
                                  : "the guest does not answer: its agent gets no processor");
    saving_fail(saving);
}

static void work_prepare(uv_work_t *work)
{
    struct saving *saving = work->data;
    const struct memory_spec spec = {
        .pid = saving->qemu,
        .ram = saving->ram,
        .size = saving->memory_size,
        .spill = saving->directory,
        .cancel = &saving->cancel,
    };
    if (snapfile_create(&saving->writer, saving->path, &saving->error) == 0 && !saving->disk_only)
        memory_prepare(&saving->memory, &spec, &saving->error);
}

static void work_prepared(uv_work_t *work, int status)
{
    struct saving *saving = work->data;
    (void)status;
    saving->working = false;
    if (!saving_goes_on(saving))
        return;
    saving->still = true;
    uv_timer_start(&saving->timeout, on_quiet_timeout, QUIET_TIMEOUT_MS, 0);
    guest_quiesce(saving->host->guest, saving->disk_only, on_quiet, saving);
}

/* --- requests */

static int saving_allowed(const struct host *host, struct error *err)
{
    if (host->saving != NULL)
        return error_set(err, EBUSY, "a snapshot of this session is being taken");
    if (host->paused)
        return error_set(err, EBUSY, "the session is paused (vmdeck unpause %s)", host->id);
    if (files_busy(host))
        return error_set(err, EBUSY, "something is being mounted or unmounted in this session");
    return 0;
}

/* Takes the paths over. Frees everything by itself in the end. */
static int saving_begin(struct peer *peer, const cJSON *request, const struct saving *what,
                        struct error *err)
{
    struct host *host = peer->host;
    struct vm *vm = host->vm;
    struct saving *saving = malloc(sizeof *saving);
    char *rootfs = strdup(vm->spec.rootfs);
    char *state = vm_file(vm, "state"), *files = vm_file(vm, "files");
    if (saving == NULL || what->path == NULL || rootfs == NULL || state == NULL || files == NULL) {
        free(what->path);
        free(what->name);
        free(saving);
        free(rootfs);
        free(state);
        free(files);
        return error_set(err, ENOMEM, "out of memory");
    }
    *saving = *what;
    saving->host = host;
    saving->peer = peer;
    saving->request = (uint32_t)json_number(request, "id", 0);
    saving->qemu = qemu_pid(host->qemu);
    saving->ram = vm->ram_fd;
    saving->memory_size = host->config.memory;
    saving->disk_size = vm->spec.disk_size;
    saving->directory = host->directory;
    saving->rootfs = rootfs;
    saving->state = state;
    saving->files = files;
    saving->row = (struct snapshot_record){
        .kind = saving->disk_only ? SNAPSHOT_DISK : SNAPSHOT_RAM,
        .name = saving->name,
        .path = saving->path,
        .image = host->image.name,
        .image_build = host->image.id,
        .session = host->id,
        .session_name = host->config.name,
        .memory = (int64_t)host->config.memory,
    };
    uv_timer_init(&host->loop, &saving->timeout);
    saving->timeout.data = saving;
    host->saving = saving;
    saving_progress(saving, 0, "stopping the guest");
    saving_work(saving, work_prepare, work_prepared);
    return 1;
}

int snapshot_request(struct peer *peer, const cJSON *request, struct error *err)
{
    const char *path = json_string(request, "path"), *name = json_string(request, "name");
    int rc = saving_allowed(peer->host, err);
    if (rc < 0)
        return rc;
    if (path == NULL || path[0] != '/')
        return error_set(err, EINVAL, "snapshot: path must be an absolute path");
    const struct saving what = {
        .purpose = SAVE_SNAPSHOT,
        .path = strdup(path),
        .name = name != NULL ? strdup(name) : NULL,
        .disk_only = json_bool(request, "disk"),
        .keep_running = json_bool(request, "keep_running"),
    };
    return saving_begin(peer, request, &what, err);
}

int snapshot_request_suspend(struct peer *peer, const cJSON *request, struct error *err)
{
    struct host *host = peer->host;
    int rc = saving_allowed(host, err);
    if (rc < 0)
        return rc;
    if (host->config.bound)
        return error_set(err, EBUSY, "the session ends with the command that started it");
    const struct saving what = {.purpose = SAVE_SUSPEND, .path = vm_file(host->vm, "suspending")};
    return saving_begin(peer, request, &what, err);
}

int snapshot_request_fork(struct peer *peer, const cJSON *request, struct error *err)
{
    const char *name = json_string(request, "name");
    int rc = saving_allowed(peer->host, err);
    if (rc < 0)
        return rc;
    const struct saving what = {
        .purpose = SAVE_FORK,
        .path = vm_file(peer->host->vm, "fork"),
        .name = name != NULL ? strdup(name) : NULL,
        .keep_running = true,
    };
    return saving_begin(peer, request, &what, err);
}

void snapshot_remove_peer(struct peer *peer)
{
    struct saving *saving = peer->host->saving;
    if (saving == NULL || saving->peer != peer)
        return;
    saving->peer = NULL;
    saving->cancel = 1;
    if (saving->forking != NULL) /* else the next step gives up */
        saving_fail(saving);
}

void snapshot_cancel(struct host *host)
{
    struct saving *saving = host->saving;
    if (saving == NULL || saving->working)
        return;
    error_set(&saving->error, ECANCELED, "the session ended");
    saving_fail(saving);
}

bool snapshot_busy(struct host *host)
{
    if (host->saving == NULL)
        return false;
    host->saving->cancel = 1;
    return host->saving->working;
}
