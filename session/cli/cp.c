/*
 * vmdeck cp: files between this host and a session's guest, through a command in the guest
 * (cp_guest.c) and an archive that this side packs or unpacks (cp_pack.c, cp_extract.c). Nothing
 * appears under its final name before all of it has come.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/watch.h"
#include "session/cli/cp_extract.h"
#include "session/cli/cp_guest.h"
#include "session/cli/cp_pack.h"
#include "session/cli/cp_place.h"
#include "session/cli/cp_stream.h"
#include "session/cli/verb.h"

#define CHUNK      ((size_t)1024 * 1024) /* of standard input, on its way to a file */
#define GUEST_HOME "/root"

struct side {
    char *session; /* NULL: a path of this host */
    const char *path;
};

/* "ID:PATH" has no slash before the colon; a path of this host with a colon is written ./a:b. */
static int side_parse(struct side *side, const char *word, struct error *err)
{
    size_t colon = strcspn(word, ":/");
    *side = (struct side){.path = word};
    if (word[0] == '\0')
        return error_set(err, USAGE_ERROR, "an empty path");
    if (word[colon] != ':')
        return 0;
    side->path = word[colon + 1] != '\0' ? word + colon + 1 : GUEST_HOME;
    if (colon == 0 || side->path[0] != '/')
        return error_set(err, USAGE_ERROR,
                         "%.200s: not ID:/PATH, a session and an absolute path in it (a file of "
                         "this host: ./%.200s)",
                         word, word);
    side->session = strndup(word, colon);
    return side->session != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* The name that a copy gets in a directory; "." for what has none of its own: its content goes. */
static char *item_name(const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    char *name = strndup(path + start, end - start);
    if (name != NULL && (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)) {
        free(name);
        name = strdup(".");
    }
    return name;
}

/* Runs a script of cp_guest.h. */
static int guest_run(struct cp_stream *stream, const char *script, bool input,
                     const char *const arguments[], struct error *err)
{
    CLEAN_STRV struct strv argv = {0};
    int rc = strv_add(&argv, "sh");
    if (rc == 0)
        rc = strv_add(&argv, "-c");
    if (rc == 0)
        rc = strv_add(&argv, script);
    if (rc == 0)
        rc = strv_add(&argv, "vmdeck-cp");
    for (; rc == 0 && *arguments != NULL; arguments++)
        rc = strv_add(&argv, *arguments);
    if (rc < 0)
        return error_set(err, ENOMEM, "out of memory");
    return cp_stream_run(stream, &argv, input, err);
}

static int sink_write(void *context, const void *data, size_t size, struct error *err)
{
    return cp_stream_write(context, data, size, err);
}

/* At its end the source is sure that the guest's tar got through; 1 is "changed while read". */
static ssize_t source_read(void *context, const void **data, struct error *err)
{
    ssize_t got = cp_stream_read(context, data, err);
    return got == 0 ? cp_stream_finish(context, 1, err) : got;
}

/* Standard input in chunks, so that its end differs from ours. Signals come between reads. */
static int put_bytes(struct cp_stream *stream, struct error *err)
{
    CLEAN_FREE char *chunk = malloc(CHUNK);
    ssize_t got = chunk != NULL ? 1 : 0;
    if (chunk == NULL)
        return error_set(err, ENOMEM, "out of memory");
    while (got > 0) {
        size_t filled = 0;
        while (filled < CHUNK) {
            int rc = cp_stream_wait(stream, STDIN_FILENO, UV_READABLE, err);
            if (rc < 0)
                return rc;
            got = read(STDIN_FILENO, chunk + filled, CHUNK - filled);
            if (got < 0 && (errno == EINTR || errno == EAGAIN))
                continue;
            if (got < 0)
                return error_system(err, errno, "cannot read standard input");
            if (got == 0)
                break;
            filled += (size_t)got;
        }
        char size[24];
        int length = snprintf(size, sizeof size, "%zu\n", filled);
        int rc = filled > 0 ? cp_stream_write(stream, size, (size_t)length, err) : 0;
        if (rc == 0)
            rc = cp_stream_write(stream, chunk, filled, err);
        if (rc < 0)
            return rc;
    }
    return cp_stream_write(stream, "0\n", 2, err);
}

static int copy_put(struct cp_stream *stream, const char *from, const char *to, struct error *err)
{
    bool standard = strcmp(from, "-") == 0;
    size_t length = strlen(from);
    CLEAN_FREE char *name = standard ? strdup("") : item_name(from);
    CLEAN_FREE char *path = str_printf("%s%s", from, from[length - 1] == '/' ? "." : "");
    struct stat st = {.st_mode = S_IFREG};
    if (name == NULL || path == NULL)
        return error_set(err, ENOMEM, "out of memory");
    if (!standard && lstat(path, &st) < 0) /* "link/." follows, as "link/" means */
        return error_system(err, errno, "%s", from);
    const char *kind = standard ? "bytes" : S_ISDIR(st.st_mode) ? "directory" : "file";
    int rc =
        guest_run(stream, cp_guest_put, true, (const char *const[]){to, name, kind, NULL}, err);
    const struct cp_sink sink = {sink_write, stream};
    if (rc == 0)
        rc = standard ? put_bytes(stream, err) : cp_pack(path, &sink, err);
    return rc < 0 ? rc : cp_stream_finish(stream, 0, err);
}

static int get_bytes(struct cp_stream *stream, const char *from, struct error *err)
{
    const void *data;
    ssize_t got;
    int rc = guest_run(stream, cp_guest_cat, false, (const char *const[]){from, NULL}, err);
    if (rc < 0)
        return rc;
    while ((got = cp_stream_read(stream, &data, err)) > 0) {
        const char *p = data;
        while (got > 0) {
            rc = cp_stream_wait(stream, STDOUT_FILENO, UV_WRITABLE, err);
            if (rc < 0)
                return rc;
            ssize_t put = watch_write(STDOUT_FILENO, p, (size_t)got);
            if (put < 0)
                return error_system(err, (int)-put, "cannot write to standard output");
            p += put;
            got -= put;
        }
    }
    return got < 0 ? (int)got : cp_stream_finish(stream, 0, err);
}

/* The directory that the guest's path is in, and its name there. */
static int get_request(struct cp_stream *stream, const char *from, const char *name,
                       struct error *err)
{
    size_t end = strlen(from);
    while (end > 1 && from[end - 1] != '/')
        end--;
    CLEAN_FREE char *parent = strndup(from, end);
    if (parent == NULL)
        return error_set(err, ENOMEM, "out of memory");
    return guest_run(stream, cp_guest_get, false, (const char *const[]){from, parent, name, NULL},
                     err);
}

static int copy_get(struct cp_stream *stream, const char *from, const char *to, struct error *err)
{
    if (strcmp(to, "-") == 0)
        return get_bytes(stream, from, err);
    CLEAN_FREE char *name = item_name(from);
    struct cp_place place;
    if (name == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = cp_place_find(&place, to, name, err);
    if (rc == 0)
        rc = cp_place_begin(&place, err);
    if (rc == 0)
        rc = get_request(stream, from, name, err);
    const struct cp_source source = {
        .read = source_read,
        .context = stream,
        .name = name,
        .no_directory = place.no_directory[0] != '\0' ? place.no_directory : NULL,
        .no_file = place.no_file[0] != '\0' ? place.no_file : NULL,
    };
    if (rc == 0)
        rc = cp_extract(place.directory, &source, err);
    if (rc == 0)
        rc = cp_place_commit(&place, err);
    cp_place_free(&place);
    return rc;
}

static int cp_copy(const struct side *from, const struct side *to, struct error *err)
{
    struct cp_stream *stream = NULL;
    const struct side *guest = from->session != NULL ? from : to;
    if ((from->session == NULL) == (to->session == NULL))
        return error_set(err, USAGE_ERROR,
                         from->session == NULL
                             ? "neither side is ID:/PATH, a path in a session (for files of this "
                               "host there is cp)"
                             : "both sides are ID:/PATH: copy to this host first");
    int rc = cp_stream_open(&stream, guest->session, err);
    if (rc == 0)
        rc = from->session != NULL ? copy_get(stream, from->path, to->path, err)
                                   : copy_put(stream, from->path, to->path, err);
    int signal = stream != NULL ? cp_stream_interrupted(stream) : 0;
    cp_stream_close(stream);
    if (rc < 0 && signal != 0)
        return 128 + signal;
    if (rc < 0)
        cp_printable(err->message);
    return rc;
}

static int cp_main(const struct verb *verb, char **args, struct error *err)
{
    char **command;
    int rc = verb_words(verb, NULL, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    char *words[3] = {0}; /* those before a "--" and behind it */
    size_t count = 0;
    for (int part = 0; part < 2; part++)
        for (char **word = part == 0 ? args : command; word != NULL && *word != NULL; word++) {
            if (count < 3)
                words[count] = *word;
            count++;
        }
    if (count != 2)
        return error_set(err, USAGE_ERROR,
                         "needs a source and a destination (see vmdeck cp --help)");
    struct side from = {0}, to = {0};
    rc = side_parse(&from, words[0], err);
    if (rc == 0)
        rc = side_parse(&to, words[1], err);
    if (rc == 0)
        rc = cp_copy(&from, &to, err);
    free(from.session);
    free(to.session);
    return rc;
}

const struct verb verb_cp = {
    .name = "cp",
    .usage = "SRC ID:PATH\nID:PATH DST",
    .summary = "Copy files and directories into and out of a session (- is stdin or stdout)",
    .groups = {NULL},
    .run = cp_main,
};
