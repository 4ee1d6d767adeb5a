/* A directory is read when Tab asks for it, never while typing: it may be on a slow disk. */
#include "tui/complete.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

size_t complete_from(const struct edit *edit, const char *separators)
{
    size_t at = edit->cursor;
    while (at > 0 && strchr(separators, edit->text[at - 1]) == NULL)
        at--;
    return at;
}

char *complete_home(const char *path)
{
    const char *home = getenv("HOME");
    if (path[0] != '~' || (path[1] != '/' && path[1] != '\0' && path[1] != ':') || home == NULL)
        return strdup(path);
    return str_printf("%s%s", home, path + 1);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_directory(DIR *directory, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(directory), entry->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

int complete_directories(const char *path, struct strv *out)
{
    const char *slash = strrchr(path, '/');
    const char *leaf = slash != NULL ? slash + 1 : path;
    CLEAN_FREE char *parent = slash != NULL ? strndup(path, (size_t)(leaf - path)) : strdup("./");
    CLEAN_FREE char *real = parent != NULL ? complete_home(parent) : NULL;
    if (real == NULL)
        return -ENOMEM;
    DIR *directory = opendir(real);
    const struct dirent *entry;
    int rc = 0;
    while (rc == 0 && directory != NULL && out->count < COMPLETE_MAX &&
           (entry = readdir(directory)) != NULL) {
        const char *name = entry->d_name;
        if (!str_starts(name, leaf) || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
            (name[0] == '.' && leaf[0] != '.') || !is_directory(directory, entry))
            continue;
        rc = strv_addf(out, "%.*s%s/", (int)(leaf - path), path, name);
    }
    if (directory != NULL)
        closedir(directory);
    if (out->count > 1)
        qsort(out->items, out->count, sizeof *out->items, by_name);
    return rc;
}

bool complete_word(struct edit *edit, size_t from, const struct strv *candidates)
{
    size_t typed = edit->cursor - from, common = 0;
    const char *first = NULL;
    for (size_t i = 0; i < candidates->count; i++) {
        const char *item = candidates->items[i];
        if (strncmp(item, edit->text + from, typed) != 0)
            continue;
        if (first == NULL) {
            first = item;
            common = strlen(item);
        }
        while (strncmp(item, first, common) != 0)
            common--;
    }
    while (first != NULL && common > typed && (first[common] & 0xc0) == 0x80)
        common--; /* no half of a character */
    if (first == NULL || common <= typed)
        return false;
    const struct input_event rest = {
        .kind = INPUT_PASTE, .bytes = (const uint8_t *)first + typed, .size = common - typed};
    size_t before = edit->length;
    edit_event(edit, &rest);
    return edit->length != before;
}
