/*
 * The snapshots that are there: listed, found and named in the registry, removed and inspected as
 * files. A snapshot that a running session started from is not removed: the session's disk ends in
 * it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cjson/cJSON.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "session/cli/find.h"
#include "session/cli/show.h"
#include "session/cli/snapshot.h"
#include "session/protocol/json.h"
#include "session/store/events.h"
#include "session/store/snapshots.h"
#include "vm/snapfile.h"

#define NAME_WIDTH  16
#define IMAGE_WIDTH 20

static bool is_path(const char *word)
{
    size_t length = strlen(word), suffix = strlen(SNAPSHOT_SUFFIX);
    struct stat st;
    return strchr(word, '/') != NULL ||
           (length > suffix && strcmp(word + length - suffix, SNAPSHOT_SUFFIX) == 0 &&
            stat(word, &st) == 0);
}

static int find_record(const char *word, struct snapshot_record *out, struct error *err)
{
    struct registry *registry = NULL;
    int rc = registry_open(&registry, NULL, err);
    if (rc == 0)
        rc = snapshot_find(registry, word, out, err);
    registry_close(registry);
    return rc;
}

int snapshot_resolve(const char *word, char **path, struct error *err)
{
    CLEAN_SNAPSHOT struct snapshot_record record = {0};
    *path = NULL;
    if (is_path(word)) {
        *path = realpath(word, NULL);
        return *path != NULL ? 0 : error_system(err, errno, "snapshot %.200s", word);
    }
    int rc = find_record(word, &record, err);
    if (rc < 0)
        return rc;
    *path = realpath(record.path, NULL);
    if (*path == NULL && errno == ENOENT)
        return error_set(err, ENOENT, "snapshot %s: %s is gone (moved? then give its path)",
                         record.id, record.path);
    return *path != NULL ? 0 : error_system(err, errno, "snapshot %s: %s", record.id, record.path);
}

static void ls_row(const struct snapshot_record *record)
{
    char age[SHOW_SIZE], size[SHOW_SIZE], name[NAME_WIDTH + 1], image[IMAGE_WIDTH + 1];
    char session[NAME_WIDTH + 1];
    const char *slash = strrchr(record->image, '/');
    show_age(show_now() - record->created, age);
    show_size((uint64_t)record->size, size);
    printf("%-8s  %-*s  %-4s  %-*s  %6s  %4s  %s\n", record->id, NAME_WIDTH,
           *record->name != '\0' ? show_plain(record->name, NAME_WIDTH, name) : "-",
           snapshot_kind_name(record->kind), IMAGE_WIDTH,
           show_plain(slash != NULL ? slash + 1 : record->image, IMAGE_WIDTH, image), size, age,
           show_plain(*record->session_name != '\0' ? record->session_name : record->session,
                      NAME_WIDTH, session));
}

static void add_text(cJSON *object, const char *name, const char *text)
{
    if (*text != '\0')
        cJSON_AddStringToObject(object, name, text);
    else
        cJSON_AddNullToObject(object, name);
}

static cJSON *ls_object(const struct snapshot_record *record)
{
    char created[EVENT_TIME_SIZE];
    cJSON *object = cJSON_CreateObject();
    event_time_text(record->created, created);
    add_text(object, "id", record->id);
    add_text(object, "name", record->name);
    add_text(object, "kind", snapshot_kind_name(record->kind));
    add_text(object, "path", record->path);
    add_text(object, "image", record->image);
    add_text(object, "image_build", record->image_build);
    cJSON_AddNumberToObject(object, "memory", (double)record->memory);
    cJSON_AddNumberToObject(object, "size", (double)record->size);
    add_text(object, "created", created);
    add_text(object, "session", record->session);
    add_text(object, "session_name", record->session_name);
    return object;
}

int snapshot_ls(bool json, struct error *err)
{
    CLEAN_SNAPSHOTS struct snapshot_list list = {0};
    struct registry *registry = NULL;
    int rc = registry_open(&registry, NULL, err);
    if (rc == 0)
        rc = snapshot_list(registry, &list, err);
    registry_close(registry);
    if (rc < 0)
        return rc;
    if (!json) {
        printf("%-8s  %-*s  %-4s  %-*s  %6s  %4s  %s\n", "ID", NAME_WIDTH, "NAME", "KIND",
               IMAGE_WIDTH, "IMAGE", "SIZE", "AGE", "SESSION");
        for (size_t i = 0; i < list.count; i++)
            ls_row(&list.items[i]);
        return 0;
    }
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < list.count; i++)
        cJSON_AddItemToArray(array, ls_object(&list.items[i]));
    CLEAN_FREE char *text = cJSON_PrintUnformatted(array);
    cJSON_Delete(array);
    if (text != NULL)
        show_json(text);
    return 0;
}

/* True if the session, whose registry row this is, started from the file. */
static bool starts_from(const struct session_record *record, const struct stat *file)
{
    struct stat st;
    cJSON *config = cJSON_Parse(record->config);
    const char *resume = json_string(config, "resume");
    bool same = resume != NULL && stat(resume, &st) == 0 && st.st_dev == file->st_dev &&
                st.st_ino == file->st_ino;
    cJSON_Delete(config);
    return same;
}

/* What was put away by `suspend` has all of its disk in its own file. */
static int check_unused(struct registry *registry, const struct snapshot_record *record,
                        struct error *err)
{
    CLEAN_SESSIONS struct session_list list = {0};
    struct stat file;
    if (stat(record->path, &file) < 0)
        return 0;
    int rc = session_list(registry, SESSIONS_LIVE, &list, err);
    for (size_t i = 0; rc == 0 && i < list.count; i++)
        if (list.items[i].state != SESSION_SUSPENDED && starts_from(&list.items[i], &file))
            rc = error_set(err, EBUSY, "snapshot %s: session %s runs from it (end that first)",
                           record->id, list.items[i].id);
    return rc;
}

static int rm_one(struct registry *registry, const char *word, struct error *err)
{
    CLEAN_SNAPSHOT struct snapshot_record record = {0};
    struct stat st;
    int rc = snapshot_find(registry, word, &record, err);
    if (rc == 0)
        rc = check_unused(registry, &record, err);
    if (rc < 0)
        return rc;
    bool gone = lstat(record.path, &st) < 0 && errno == ENOENT;
    if (!gone)
        rc = snapfile_remove(record.path, err);
    if (rc == 0)
        rc = snapshot_remove(registry, record.id, err);
    if (rc == 0 && gone)
        fprintf(stderr,
                "vmdeck snapshot: note: %s was not there any more; if it was moved, remove it "
                "where it is\n",
                record.path);
    return rc;
}

/* One that cannot be removed does not keep the others: the last failure is the error. */
int snapshot_rm(char *const *words, struct error *err)
{
    struct registry *registry = NULL;
    struct error failure = {0};
    int rc = find_registry(&registry, err);
    for (; rc == 0 && *words != NULL; words++) {
        struct error failed = {0};
        if (rm_one(registry, *words, &failed) == 0)
            continue;
        if (failure.code != 0)
            fprintf(stderr, "vmdeck snapshot: %s\n", failure.message);
        failure = failed;
    }
    registry_close(registry);
    if (rc < 0 || failure.code == 0)
        return rc;
    *err = failure;
    return -err->code;
}

int snapshot_renamed(const char *word, const char *name, struct error *err)
{
    CLEAN_SNAPSHOT struct snapshot_record record = {0};
    struct registry *registry = NULL;
    int rc = registry_open(&registry, NULL, err);
    if (rc == 0)
        rc = snapshot_find(registry, word, &record, err);
    if (rc == 0)
        rc = snapshot_rename(registry, record.id, name, err);
    registry_close(registry);
    return rc;
}

int snapshot_inspect(const char *word, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    CLEAN_SNAPFILE struct snapfile *file = NULL;
    int rc = snapshot_resolve(word, &path, err);
    if (rc == 0)
        rc = snapfile_open(&file, path, err);
    if (rc < 0)
        return rc;
    CLEAN_FREE char *text = cJSON_Print(snapfile_manifest(file));
    if (text == NULL)
        return error_set(err, ENOMEM, "out of memory");
    show_json(text);
    return 0;
}
