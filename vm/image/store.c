/*
 * Refs are symlinks that are replaced by rename(), so a reader sees the old or the new one. Every
 * change of refs and objects happens under flock() on `lock`: removing an object because nothing
 * points at it, and pointing at it, thus cannot cross. Objects are made in a scratch directory
 * on the same file system and renamed; whoever comes second with the same content finds the
 * object there and drops its own.
 */
#include "vm/image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"

#define REF_TARGET "../../../objects/"
#define HEX        "0123456789abcdef"

int store_path(const char *name, char **out, struct error *err)
{
    CLEAN_FREE char *root = NULL;
    *out = NULL;
    int rc = path_xdg(PATH_DATA, "images", &root, err);
    if (rc == 0)
        rc = path_mkdirs(root, 0700, err);
    if (rc < 0)
        return rc;
    *out = name != NULL ? str_printf("%s/%s", root, name) : take_ptr(root);
    return *out != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

int store_machine(char arch[MANIFEST_TEXT_MAX], struct error *err)
{
    struct utsname name;
    if (uname(&name) < 0)
        return error_system(err, errno, "uname");
    snprintf(arch, MANIFEST_TEXT_MAX, "%s", name.machine);
    return 0;
}

int store_lock(int *out, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    int rc = store_path("lock", &path, err);
    return rc == 0 ? path_lock(path, out, err) : rc;
}

static bool word_valid(const char *text, size_t length)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "._-";
    return length >= 1 && length <= STORE_NAME_MAX && text[0] != '.' &&
           strspn(text, allowed) >= length;
}

int store_ref_parse(const char *text, struct store_ref *out, struct error *err)
{
    size_t name = strcspn(text, ":");
    const char *tag = text[name] == ':' ? text + name + 1 : "latest";
    if (!word_valid(text, name) || !word_valid(tag, strlen(tag)))
        return error_set(err, EINVAL,
                         "'%.150s' is no image name (name or name:tag, each up to %d of "
                         "A-Z a-z 0-9 . _ - and not starting with '.')",
                         text, STORE_NAME_MAX);
    *out = (struct store_ref){0};
    memcpy(out->name, text, name);
    memcpy(out->tag, tag, strlen(tag));
    return 0;
}

/* The id a ref's symlink names. */
static int link_read(const char *path, char id[IMAGE_ID_SIZE], struct error *err)
{
    char target[sizeof REF_TARGET + IMAGE_ID_SIZE];
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0 && errno == EINVAL)
        return error_set(err, EBADMSG, "%s is not a symlink (remove it)", path);
    if (length < 0)
        return error_system(err, errno, "cannot read %s", path);
    target[length] = '\0';
    const char *digits = target + sizeof REF_TARGET - 1;
    if (length != (ssize_t)(sizeof REF_TARGET - 1 + IMAGE_ID_SIZE - 1) ||
        !str_starts(target, REF_TARGET) || strspn(digits, HEX) != IMAGE_ID_SIZE - 1)
        return error_set(err, EBADMSG, "%s does not point at an image (remove it)", path);
    memcpy(id, digits, IMAGE_ID_SIZE);
    return 0;
}

static int ref_path(const char *ref, const char *arch, char **out, struct error *err)
{
    struct store_ref parsed;
    *out = NULL;
    int rc = store_ref_parse(ref, &parsed, err);
    if (rc < 0)
        return rc;
    CLEAN_FREE char *name = str_printf("refs/%s/%s/%s", parsed.name, parsed.tag, arch);
    if (name == NULL)
        return error_set(err, ENOMEM, "out of memory");
    return store_path(name, out, err);
}

int store_ref_read(const char *ref, const char *arch, char id[IMAGE_ID_SIZE], struct error *err)
{
    CLEAN_FREE char *path = NULL;
    int rc = ref_path(ref, arch, &path, err);
    return path == NULL ? rc : link_read(path, id, err);
}

int store_ref_write(const char *ref, const char *arch, const char *id, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    int rc = ref_path(ref, arch, &path, err);
    if (path == NULL)
        return rc;
    CLEAN_FREE char *temporary = str_printf("%s.new", path); /* ours alone: we hold the lock */
    CLEAN_FREE char *target = str_printf(REF_TARGET "%s", id);
    if (temporary == NULL || target == NULL)
        return error_set(err, ENOMEM, "out of memory");
    char *slash = strrchr(path, '/');
    *slash = '\0';
    rc = path_mkdirs(path, 0700, err);
    *slash = '/';
    struct stat st;
    if (rc == 0 && lstat(path, &st) == 0 && !S_ISLNK(st.st_mode))
        rc = error_set(err, EBADMSG, "%s is not a symlink (remove it)", path);
    if (rc < 0)
        return rc;
    unlink(temporary);
    if (symlink(target, temporary) < 0 || rename(temporary, path) < 0)
        return error_system(err, errno, "cannot write %s", path);
    return 0;
}

/* One level of refs/: calls itself for the next; names[] collects name, tag, architecture. */
struct refs_walk {
    store_ref_each *each;
    void *context;
    char names[3][STORE_NAME_MAX + 1];
};

static int refs_level(struct refs_walk *walk, const char *path, int level)
{
    if (level == 3) {
        struct store_ref ref;
        char id[IMAGE_ID_SIZE];
        memcpy(ref.name, walk->names[0], sizeof ref.name);
        memcpy(ref.tag, walk->names[1], sizeof ref.tag);
        return link_read(path, id, NULL) < 0
                   ? 0
                   : walk->each(walk->context, path, &ref, walk->names[2], id);
    }
    CLEAN_DIR DIR *dir = opendir(path);
    const struct dirent *entry;
    int rc = 0;
    while (dir != NULL && rc == 0 && (entry = readdir(dir)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (!word_valid(entry->d_name, length))
            continue;
        memcpy(walk->names[level], entry->d_name, length + 1);
        CLEAN_FREE char *below = str_printf("%s/%s", path, entry->d_name);
        rc = below != NULL ? refs_level(walk, below, level + 1) : -ENOMEM;
    }
    return rc;
}

int store_refs(store_ref_each *each, void *context, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    int rc = store_path("refs", &path, err);
    struct refs_walk walk = {.each = each, .context = context};
    return rc < 0 ? rc : refs_level(&walk, path, 0);
}

/* The one object whose id starts so; -ENOENT without one, -EINVAL with several. */
static int object_prefix(const char *prefix, char id[IMAGE_ID_SIZE], struct error *err)
{
    CLEAN_FREE char *path = NULL;
    int rc = store_path("objects", &path, err);
    if (rc < 0)
        return rc;
    CLEAN_DIR DIR *dir = opendir(path);
    const struct dirent *entry;
    int found = 0;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (strlen(entry->d_name) == IMAGE_ID_SIZE - 1 && str_starts(entry->d_name, prefix) &&
            strspn(entry->d_name, HEX) == IMAGE_ID_SIZE - 1 && found++ == 0)
            memcpy(id, entry->d_name, IMAGE_ID_SIZE);
    if (found > 1)
        return error_set(err, EINVAL, "'%s' is the start of several build ids", prefix);
    return found == 1 ? 0 : -ENOENT;
}

struct foreign {
    struct store_ref ref;
    int count;
    char id[IMAGE_ID_SIZE];
};

static int foreign_each(void *context, const char *path, const struct store_ref *ref,
                        const char *arch, const char *id)
{
    (void)path;
    (void)arch;
    struct foreign *foreign = context;
    if (strcmp(ref->name, foreign->ref.name) == 0 && strcmp(ref->tag, foreign->ref.tag) == 0) {
        foreign->count++;
        memcpy(foreign->id, id, IMAGE_ID_SIZE);
    }
    return 0;
}

int store_find(const char *selector, char id[IMAGE_ID_SIZE], struct error *err)
{
    size_t length = strlen(selector);
    if (length >= 8 && length < IMAGE_ID_SIZE && strspn(selector, HEX) == length) {
        int rc = object_prefix(selector, id, err);
        if (rc != -ENOENT)
            return rc;
    }
    struct foreign foreign = {0};
    char arch[MANIFEST_TEXT_MAX];
    int rc = store_machine(arch, err);
    if (rc == 0)
        rc = store_ref_parse(selector, &foreign.ref, err);
    if (rc == 0)
        rc = store_ref_read(selector, arch, id, err);
    if (rc != -ENOENT)
        return rc;
    rc = store_refs(foreign_each, &foreign, err); /* of another architecture, if it is the one */
    if (rc == 0 && foreign.count == 1) {
        memcpy(id, foreign.id, IMAGE_ID_SIZE);
        return 0;
    }
    return rc < 0 ? rc
                  : error_set(err, ENOENT,
                              "there is no image '%.150s' (vmdeck image ls lists them, vmdeck "
                              "image build makes " IMAGE_DEFAULT ")",
                              selector);
}

int store_begin(struct scratch *out, struct error *err)
{
    CLEAN_FREE char *root = NULL;
    int rc = store_path(NULL, &root, err);
    return rc < 0 ? rc : scratch_open(root, "tmp.", 0755, out, err);
}

static int part_seal(const char *directory, struct manifest_part *part, const volatile int *cancel,
                     struct error *err)
{
    CLEAN_FREE char *path = str_printf("%s/%s", directory, part->file);
    CLEAN_FD int fd = path != NULL ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_system(err, errno, "cannot open %s", part->file);
    part->size = (uint64_t)st.st_size;
    if (fchmod(fd, 0444) < 0 || fsync(fd) < 0)
        return error_system(err, errno, "cannot sync %s", part->file);
    int rc = hash_fd(fd, cancel, part->sha256, err);
    return rc < 0 ? error_wrap(err, "%s", part->file) : 0;
}

/* Under the store's lock. */
static int object_place(struct scratch *object, const struct manifest *manifest, struct error *err)
{
    CLEAN_FREE char *objects = NULL;
    int rc = store_path("objects", &objects, err);
    if (rc == 0)
        rc = path_mkdirs(objects, 0700, err);
    if (rc < 0)
        return rc;
    CLEAN_FREE char *path = str_printf("%s/%s", objects, manifest->id);
    if (path == NULL)
        return error_set(err, ENOMEM, "out of memory");
    if (rename(object->path, path) == 0)
        store_remember(path, manifest);
    else if (errno != EEXIST && errno != ENOTEMPTY)
        return error_system(err, errno, "cannot write %s", path);
    CLEAN_FD int fd = open(objects, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return error_system(err, errno, "cannot sync %s", objects);
    return 0;
}

int store_commit(struct scratch *object, struct manifest *manifest, const char *ref,
                 const volatile int *cancel, struct error *err)
{
    int rc = 0;
    char expected[IMAGE_ID_SIZE];
    memcpy(expected, manifest->id, sizeof expected);
    for (int i = 0; i < PART_COUNT && rc == 0; i++)
        rc = part_seal(object->path, &manifest->parts[i], cancel, err);
    CLEAN_FREE char *text = NULL;
    CLEAN_FREE char *path = str_printf("%s/" MANIFEST_FILE, object->path);
    if (rc == 0 && path == NULL)
        rc = error_set(err, ENOMEM, "out of memory");
    if (rc == 0)
        rc = manifest_write(manifest, &text, err);
    if (rc == 0 && expected[0] != '\0' && strcmp(expected, manifest->id) != 0)
        rc = error_set(err, EBADMSG, "the parts are not those that the manifest describes");
    struct manifest check;
    if (rc == 0) /* what we would refuse to read, we don't write */
        rc = manifest_parse(text, strlen(text), &check, err);
    if (rc == 0)
        rc = path_write(path, 0444, text, strlen(text), err);
    CLEAN_FD int lock = -1;
    if (rc == 0)
        rc = store_lock(&lock, err);
    if (rc == 0)
        rc = object_place(object, manifest, err);
    if (rc == 0 && ref != NULL)
        rc = store_ref_write(ref, manifest->arch, manifest->id, err);
    return rc;
}
