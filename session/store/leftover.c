/*
 * Two passes. Rows of the registry that say live: dead if there is no directory any more, or a
 * lock in it that can be taken. Then directories that no live row accounts for: hosts that were
 * killed after they had ended their row. A host's QEMU needs no killing: it gets SIGKILL from the
 * kernel when its parent ends (vm/qemu.c).
 */
#include "session/store/leftover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "session/store/database.h"
#include "session/store/events.h"

int leftover_lock(int *lock, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    int rc = path_xdg(PATH_STATE, "sessions", &path, err);
    if (rc == 0)
        rc = path_mkdirs(path, 0700, err);
    if (rc < 0)
        return rc;
    CLEAN_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_system(err, errno, "cannot open %s", path);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return error_system(err, errno, "cannot lock %s", path);
    *lock = take_fd(&fd);
    return 0;
}

/* Without its lock file a directory belongs to a host that died making or removing it. */
static bool host_lives(const char *directory)
{
    CLEAN_FREE char *path = str_printf("%s/lock", directory);
    CLEAN_FD int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return path == NULL || errno != ENOENT;
    return flock(fd, LOCK_EX | LOCK_NB) < 0;
}

static int remove_files(const char *id, const char *directory, struct error *err)
{
    CLEAN_FREE char *name = str_printf("%s.sock", id);
    CLEAN_FREE char *socket_path = NULL;
    int rc = name != NULL ? path_xdg(PATH_RUNTIME, name, &socket_path, err) : -ENOMEM;
    if (rc == 0)
        rc = path_remove(socket_path, err);
    return rc == 0 ? path_remove(directory, err) : rc;
}

static int tell(struct registry *registry, const char *id, const char *action, const char *reason,
                struct error *err)
{
    char now[EVENT_TIME_SIZE], json[256];
    struct event event = {.time = database_now(), .type = EVENT_SESSION, .json = json};
    event_time_text(event.time, now);
    snprintf(event.session, sizeof event.session, "%s", id);
    snprintf(json, sizeof json,
             "{\"time\":\"%s\",\"session\":\"%s\",\"type\":\"session\",\"action\":\"%s\","
             "\"detail\":\"%s\"}",
             now, id, action, reason);
    return events_append(registry, &event, 1, err);
}

static int end_row(struct registry *registry, const char *id, enum session_state state,
                   const char *action, const char *reason, struct error *err)
{
    int rc = session_end(registry, id, state, reason, err);
    return rc == 0 ? tell(registry, id, action, reason, err) : rc;
}

static bool was_suspended(const char *directory)
{
    CLEAN_FREE char *path = str_printf("%s/" SUSPENDED_FILE, directory);
    return path != NULL && access(path, F_OK) == 0;
}

static int suspend_row(struct registry *registry, const char *id, struct error *err)
{
    struct session_record record = {.state = SESSION_SUSPENDED};
    snprintf(record.id, sizeof record.id, "%s", id);
    int rc = session_update(registry, &record, SESSION_SET_STATE | SESSION_SET_HOST, err);
    return rc == 0 ? tell(registry, id, "suspended",
                          LEFTOVER_REASON ": as it was when it was suspended", err)
                   : rc;
}

static int session_directory(const char *id, char **out, struct error *err)
{
    CLEAN_FREE char *name = str_printf("sessions/%s", id);
    return name != NULL ? path_xdg(PATH_STATE, name, out, err) : -ENOMEM;
}

/* `live`: the registry says so. */
static int collect_one(struct registry *registry, const char *id, bool live, struct error *err)
{
    CLEAN_FREE char *directory = NULL;
    struct error failed = {0};
    int rc = session_directory(id, &directory, err);
    if (rc < 0 || host_lives(directory))
        return rc;
    if (live && was_suspended(directory))
        return suspend_row(registry, id, err);
    if (remove_files(id, directory, &failed) < 0)
        log_warn(LOG_HOST, "session %s: what its host left: %s", id, failed.message);
    return live ? end_row(registry, id, SESSION_DEAD, "failed", LEFTOVER_REASON, err) : 0;
}

static bool is_session_id(const char *name)
{
    return strspn(name, "0123456789abcdef") == SESSION_ID_SIZE - 1 &&
           name[SESSION_ID_SIZE - 1] == '\0';
}

static bool is_listed(const struct session_list *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0)
            return true;
    return false;
}

/* Directories that no row of the list accounts for. */
static int collect_unlisted(struct registry *registry, const struct session_list *list,
                            struct error *err)
{
    CLEAN_FREE char *path = NULL;
    int rc = path_xdg(PATH_STATE, "sessions", &path, err);
    if (rc < 0 || path == NULL)
        return rc;
    CLEAN_DIR DIR *directory = opendir(path);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        if (rc == 0 && is_session_id(entry->d_name) && !is_listed(list, entry->d_name))
            rc = collect_one(registry, entry->d_name, false, err);
    return rc;
}

int leftover_collect(struct registry *registry, struct error *err)
{
    CLEAN_SESSIONS struct session_list list = {0};
    int rc = session_list(registry, SESSIONS_LIVE, &list, err);
    for (size_t i = 0; rc == 0 && i < list.count; i++)
        if (list.items[i].state != SESSION_SUSPENDED) /* needs no host */
            rc = collect_one(registry, list.items[i].id, true, err);
    return rc == 0 ? collect_unlisted(registry, &list, err) : rc;
}

int leftover_discard(struct registry *registry, const char *id, struct error *err)
{
    CLEAN_FD int lock = -1;
    CLEAN_FREE char *directory = NULL;
    CLEAN_SESSION struct session_record record = {0};
    int rc = leftover_lock(&lock, err);
    if (rc == 0)
        rc = session_directory(id, &directory, err);
    if (rc == 0)
        rc = session_find(registry, id, SESSIONS_LIVE, &record, err);
    if (rc < 0)
        return rc;
    if (record.state != SESSION_SUSPENDED || host_lives(directory))
        return error_set(err, EAGAIN, "session %s is just being taken up again (try again)", id);
    rc = end_row(registry, id, SESSION_STOPPED, "stopped", "as it was asked to", err);
    return rc == 0 ? remove_files(id, directory, err) : rc;
}
