/*
 * A guest that is restored holds open files and cached names of mounts that it believes in: they
 * are served again before it runs, by the state in the snapshot. That state names directories of
 * this host, and a snapshot may come from anybody. So those of a session's own (a fork, one that
 * was suspended) and of a snapshot in this user's index are opened as it says; others only where
 * the user has named the directory again for that place.
 */
#include "session/host/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "session/host/record.h"
#include "session/host/snapshot.h"
#include "session/host/vm.h"
#include "session/protocol/json.h"
#include "session/protocol/mounts.h"
#include "vm/vfs/vfs.h"

#define RELAYS_MAX 16u /* the agent's limit; who says more often that it lost one is lying */

/* Who waits for the guest's answer about a mount. */
struct waiting {
    struct waiting *next;
    struct peer *peer; /* NULL: the session's start, or nobody any more */
    uint32_t request;
    bool mounts, starts;
    char guest[];
};

struct files {
    struct host *host;
    struct vfs *vfs;
    struct waiting *waiting;
    bool awaited; /* files_settled() has said no */
    bool failed;
    bool paused;
    unsigned relays;             /* that were lost */
    void (*done)(void *context); /* of files_pause() */
    void *context;
    char *denied; /* the last one that was logged */
};

/* --- events */

static void record_mount(struct host *host, const char *mount, const char *action, const char *path)
{
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "mount", mount);
    cJSON_AddStringToObject(fields, "action", action);
    cJSON_AddStringToObject(fields, "path", path);
    record_event(host, EVENT_VFS, fields);
}

/* Takes the one who waits for this off the list. NULL: nobody does. */
static struct waiting *take_waiting(struct files *files, const char *guest, bool mounts)
{
    struct waiting **at = &files->waiting;
    while (*at != NULL && ((*at)->mounts != mounts || strcmp((*at)->guest, guest) != 0))
        at = &(*at)->next;
    struct waiting *found = *at;
    if (found != NULL)
        *at = found->next;
    return found;
}

/* Answers one who waits, and frees it. */
static void settle(struct files *files, struct waiting *waiting, const struct error *why)
{
    struct host *host = files->host;
    if (waiting->peer != NULL)
        peer_reply(waiting->peer, waiting->request, NULL, why);
    if (waiting->starts && why != NULL)
        host_stop(host, why);
    free(waiting);
    if (files->awaited && files->waiting == NULL && host->state == HOST_STARTING) {
        files->awaited = false;
        host->vm->ready(host);
    }
}

static void on_mounted(void *context, const char *guest, const struct error *why)
{
    struct files *files = context;
    struct waiting *waiting = take_waiting(files, guest, true);
    struct error reason = {0};
    if (why == NULL)
        record_mount(files->host, guest, "mounted", guest);
    else
        error_set(&reason, why->code, "cannot mount at %s in the guest: %s", guest, why->message);
    if (waiting != NULL)
        settle(files, waiting, why != NULL ? &reason : NULL);
    else if (why != NULL)
        log_warn(LOG_VFS, "%s", reason.message);
}

static void on_unmounted(void *context, const char *guest, const struct error *why)
{
    struct files *files = context;
    struct waiting *waiting = take_waiting(files, guest, false);
    struct error reason = {0};
    if (why == NULL || why->code == EPROTO)
        record_mount(files->host, guest, "unmounted", guest);
    if (why != NULL)
        error_set(&reason, why->code, "cannot unmount %s: %s%s", guest,
                  why->code == EBUSY ? "in use: " : "", why->message);
    if (waiting != NULL)
        settle(files, waiting, why != NULL ? &reason : NULL);
    else if (why != NULL)
        log_warn(LOG_VFS, "the mount at %s: %s", guest, why->message);
}

struct longest {
    const char *path;
    char *mount;
};

static bool visit_longest(void *context, const struct vfs_mount_spec *spec, bool mounted)
{
    struct longest *longest = context;
    (void)mounted;
    bool longer = longest->mount == NULL || strlen(spec->guest) > strlen(longest->mount);
    if (longer && mount_is_below(longest->path, spec->guest)) {
        free(longest->mount);
        longest->mount = strdup(spec->guest);
    }
    return true;
}

/* A guest that looks at the same name again and again does not fill the log. */
static void on_denied(void *context, const char *path)
{
    struct files *files = context;
    struct longest longest = {.path = path};
    if (files->denied != NULL && strcmp(files->denied, path) == 0)
        return;
    free(files->denied);
    files->denied = strdup(path);
    vfs_list(files->vfs, visit_longest, &longest);
    record_mount(files->host, longest.mount != NULL ? longest.mount : "", "denied", path);
    free(longest.mount);
}

static void on_paused(void *context)
{
    struct files *files = context;
    void (*done)(void *context) = files->done;
    files->done = NULL;
    if (done != NULL)
        done(files->context);
}

/* The guest's processes get errors from now on; it can do without these files. */
static void on_failed(void *context, const struct error *why)
{
    struct files *files = context;
    struct waiting *waiting;
    if (files->host->state < HOST_STOPPING)
        log_warn(LOG_VFS, "the mounts are lost: %s", why->message);
    files->failed = true;
    while ((waiting = files->waiting) != NULL) {
        files->waiting = waiting->next;
        if (waiting->starts && why->code == EPIPE)
            free(waiting); /* QEMU has ended, and that says more */
        else
            settle(files, waiting, why);
    }
    on_paused(files);
}

static const struct vfs_events events = {
    .mounted = on_mounted,
    .unmounted = on_unmounted,
    .denied = on_denied,
    .paused = on_paused,
    .failed = on_failed,
};

/* --- the server */

static void make_epoch(uint8_t epoch[RELAY_EPOCH_SIZE])
{
    if (getrandom(epoch, RELAY_EPOCH_SIZE, 0) != RELAY_EPOCH_SIZE)
        memset(epoch, 0x5a, RELAY_EPOCH_SIZE);
}

static int files_open(struct host *host, struct error *err)
{
    if (host->files != NULL)
        return 0;
    struct files *files = calloc(1, sizeof *files);
    if (files == NULL)
        return error_set(err, ENOMEM, "out of memory");
    files->host = host;
    struct vfs_config config = {
        .loop = &host->loop,
        .fd = qemu_take_vfs(host->qemu),
        .shadows = (const char *const *)host->config.shadows.items,
        .shadow_count = host->config.shadows.count,
        .events = &events,
        .context = files,
    };
    make_epoch(config.epoch);
    int rc = vfs_open(&files->vfs, &config, err);
    if (rc < 0)
        free(files);
    else
        host->files = files;
    return rc;
}

/* Asks the guest; `peer` gets the answer, or the start goes on with it. */
static int files_ask(struct files *files, const struct mount_spec *spec, struct peer *peer,
                     uint32_t request, bool mounts, struct error *err)
{
    size_t size = strlen(spec->guest) + 1;
    struct waiting *waiting = calloc(1, sizeof *waiting + size);
    const struct vfs_mount_spec mount = {
        .host = spec->host, .guest = spec->guest, .read_only = spec->read_only};
    if (waiting == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = mounts ? vfs_mount(files->vfs, &mount, err) : vfs_umount(files->vfs, spec->guest, err);
    if (rc < 0) {
        free(waiting);
        return rc;
    }
    *waiting =
        (struct waiting){files->waiting, peer, request, mounts, .starts = peer == NULL && mounts};
    memcpy(waiting->guest, spec->guest, size);
    files->waiting = waiting;
    return 0;
}

/* --- a restored guest's mounts */

struct restoring {
    const struct host *host;
    const struct mount_list *given;
    bool ours; /* the snapshot is this user's */
};

static const char *restored_host(void *context, const char *guest, const char *host,
                                 bool *read_only)
{
    const struct restoring *restoring = context;
    for (size_t i = 0; i < restoring->given->count; i++) {
        const struct mount_spec *given = &restoring->given->items[i];
        if (given->host != NULL && strcmp(given->guest, guest) == 0) {
            *read_only = *read_only || given->read_only;
            return given->host;
        }
    }
    return restoring->ours ? host : NULL;
}

static int files_restore(struct host *host, const struct snapfile *snapshot,
                         const struct mount_list *given, struct error *err)
{
    CLEAN_FREE char *path = str_printf("/proc/self/fd/%d", snapfile_fd(snapshot));
    struct restoring restoring = {host, given, snapshot_ours(host)};
    uint64_t offset, length;
    if (snapfile_section(snapshot, SNAPFILE_FILES, &offset, &length, NULL) < 0)
        return 0;
    int rc = files_open(host, err);
    if (rc < 0)
        return rc;
    FILE *in = path != NULL ? fopen(path, "re") : NULL;
    if (in == NULL || fseeko(in, (off_t)offset, SEEK_SET) < 0)
        rc = error_system(err, errno, "cannot read %s", host->config.resume);
    else
        rc = vfs_load(host->files->vfs, in, restored_host, &restoring, err);
    if (in != NULL)
        fclose(in);
    if (rc == -EPERM)
        error_wrap(err, "this snapshot was made elsewhere: name the directory again to allow it "
                        "(--mount-hostfs HOST:GUEST)");
    if (rc < 0)
        return error_wrap(err, "%s", host->config.resume);
    vfs_resume(host->files->vfs);
    return 0;
}

struct search {
    const char *path;
    bool same, below; /* there is a mount at the path; one below it */
};

static bool visit_search(void *context, const struct vfs_mount_spec *spec, bool mounted)
{
    struct search *search = context;
    (void)mounted;
    bool same = strcmp(spec->guest, search->path) == 0;
    search->same = search->same || same;
    search->below = search->below || (!same && mount_is_below(spec->guest, search->path));
    return true;
}

int files_start(struct host *host, const struct snapfile *snapshot, struct error *err)
{
    CLEAN_MOUNT_LIST struct mount_list given = {0};
    int rc = mount_list(&host->config, &given, err);
    if (rc == 0 && snapshot != NULL)
        rc = files_restore(host, snapshot, &given, err);
    if (rc < 0)
        return rc;
    if (snapshot != NULL && (host->revive || host->config.adopt))
        return 0; /* it has those that it had, whatever it was started with */
    for (size_t i = 0; i < given.count && rc == 0; i++) {
        struct search search = {.path = given.items[i].guest};
        rc = files_open(host, err);
        if (rc == 0)
            vfs_list(host->files->vfs, visit_search, &search);
        if (rc == 0 && !search.same)
            rc = files_ask(host->files, &given.items[i], NULL, 0, true, err);
    }
    return rc;
}

bool files_settled(struct host *host)
{
    if (host->files == NULL || host->files->waiting == NULL)
        return true;
    host->files->awaited = true;
    return false;
}

/* --- requests */

static int request_allowed(const struct host *host, struct error *err)
{
    if (host->saving != NULL)
        return error_set(err, EBUSY, "a snapshot of this session is being taken");
    if (host->paused)
        return error_set(err, EBUSY, "the session is paused (vmdeck unpause %s)", host->id);
    if (host->files != NULL && host->files->failed)
        return error_set(err, EIO, "the guest has lost its connection to the file server");
    return 0;
}

static int request_spec(const cJSON *request, struct mount_spec *spec, struct error *err)
{
    const char *hostfs = json_string(request, "hostfs"), *memfs = json_string(request, "memfs");
    if ((hostfs == NULL) == (memfs == NULL))
        return error_set(err, EINVAL, "mount: hostfs or memfs is needed");
    return hostfs != NULL ? mount_spec_parse(hostfs, spec, err)
                          : mount_guest_path(memfs, &spec->guest, err);
}

int files_request_mount(struct peer *peer, const cJSON *request, struct error *err)
{
    struct host *host = peer->host;
    CLEAN_MOUNT_SPEC struct mount_spec spec = {0};
    int rc = request_allowed(host, err);
    if (rc == 0)
        rc = request_spec(request, &spec, err);
    if (rc == 0)
        rc = files_open(host, err);
    if (rc != 0 || spec.guest == NULL)
        return rc;
    struct search search = {.path = spec.guest};
    vfs_list(host->files->vfs, visit_search, &search);
    if (search.below && !search.same)
        return error_set(err, EBUSY, "cannot mount at %s: it would hide the mounts below it",
                         spec.guest);
    rc = files_ask(host->files, &spec, peer, (uint32_t)json_number(request, "id", 0), true, err);
    return rc < 0 ? rc : 1;
}

int files_request_umount(struct peer *peer, const cJSON *request, struct error *err)
{
    struct host *host = peer->host;
    CLEAN_MOUNT_SPEC struct mount_spec spec = {0};
    const char *guest = json_string(request, "guest");
    int rc = request_allowed(host, err);
    if (rc == 0)
        rc = guest != NULL ? mount_guest_path(guest, &spec.guest, err)
                           : error_set(err, EINVAL, "umount: guest is needed");
    if (rc != 0 || spec.guest == NULL)
        return rc;
    if (host->files == NULL)
        return error_set(err, ENOENT, "cannot unmount %s: nothing of ours is mounted there",
                         spec.guest);
    rc = files_ask(host->files, &spec, peer, (uint32_t)json_number(request, "id", 0), false, err);
    return rc < 0 ? rc : 1;
}

void files_remove_peer(const struct peer *peer)
{
    struct waiting *waiting = peer->host->files != NULL ? peer->host->files->waiting : NULL;
    for (; waiting != NULL; waiting = waiting->next)
        if (waiting->peer == peer)
            waiting->peer = NULL;
}

static bool visit_report(void *context, const struct vfs_mount_spec *spec, bool mounted)
{
    if (!mounted)
        return true;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "guest", spec->guest);
    if (spec->host != NULL)
        cJSON_AddStringToObject(object, "host", spec->host);
    else
        cJSON_AddNullToObject(object, "host");
    cJSON_AddBoolToObject(object, "read_only", spec->read_only);
    cJSON_AddItemToArray(context, object);
    return true;
}

void files_report(const struct host *host, cJSON *array)
{
    if (host->files != NULL)
        vfs_list(host->files->vfs, visit_report, array);
}

/* --- the guest's relay */

static bool visit_lost(void *context, const struct vfs_mount_spec *spec, bool mounted)
{
    if (mounted)
        record_mount(context, spec->guest, "unmounted", spec->guest);
    return true;
}

void files_relay_ended(struct host *host, uint32_t code)
{
    struct files *files = host->files;
    if (files == NULL || files->failed || host->state >= HOST_STOPPING)
        return;
    vfs_list(files->vfs, visit_lost, host);
    if (code != 0 || ++files->relays > RELAYS_MAX) {
        struct error why = {0};
        error_set(&why, code != 0 ? (int)code : EIO,
                  "the guest ends the relay that serves them again and again");
        on_failed(files, &why);
        return;
    }
    log_warn(LOG_VFS, "somebody in the guest has killed the relay of its mounts: they are mounted "
                      "anew; files that were open there cannot be used any more");
    uint8_t epoch[RELAY_EPOCH_SIZE];
    make_epoch(epoch);
    vfs_restart(files->vfs, epoch);
}

/* --- snapshots */

bool files_busy(const struct host *host)
{
    return host->files != NULL && host->files->waiting != NULL;
}

void files_pause(struct host *host, void (*done)(void *context), void *context)
{
    struct files *files = host->files;
    if (files == NULL || files->failed) {
        done(context);
        return;
    }
    files->done = done;
    files->context = context;
    files->paused = true;
    vfs_pause(files->vfs);
}

int files_save(const struct host *host, FILE *out, struct error *err)
{
    return host->files != NULL && !host->files->failed ? vfs_save(host->files->vfs, out, err) : 0;
}

void files_resume(struct host *host)
{
    struct files *files = host->files;
    if (files == NULL || !files->paused)
        return;
    files->done = NULL;
    files->paused = false;
    vfs_resume(files->vfs);
}

void files_close(struct host *host)
{
    struct files *files = host->files;
    if (files == NULL)
        return;
    host->files = NULL;
    vfs_close(files->vfs);
    while (files->waiting != NULL) {
        struct waiting *waiting = files->waiting;
        files->waiting = waiting->next;
        free(waiting);
    }
    free(files->denied);
    free(files);
}
