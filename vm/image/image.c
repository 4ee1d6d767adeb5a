/*
 * What callers do with images: find, hold, list, name, remove, import. A holder has a shared
 * flock() on the object's manifest; removing takes the exclusive one, so it only happens when
 * nobody uses the object.
 */
#include "vm/image/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "vm/image/store.h"

#define COPY_CHUNK (8u << 20)

void image_close(struct image *image)
{
    free(image->name);
    free(image->arch);
    free(image->directory);
    free(image->kernel);
    free(image->initramfs);
    free(image->rootfs);
    *image = (struct image){0};
}

/* The directory a selector names, and its manifest. */
static int image_locate(const char *selector, char **directory, struct manifest *manifest,
                        struct error *err)
{
    char id[IMAGE_ID_SIZE] = "";
    *directory = NULL;
    if (strchr(selector, '/') != NULL) {
        *directory = realpath(selector, NULL);
        if (*directory == NULL)
            return error_set(err, errno,
                             "there is no image directory '%.300s' (what has a '/' in it is a "
                             "directory; vmdeck image ls lists the named images)",
                             selector);
    } else {
        int rc = store_find(selector, id, err);
        CLEAN_FREE char *name = rc == 0 ? str_printf("objects/%s", id) : NULL;
        if (rc == 0)
            rc = name != NULL ? store_path(name, directory, err) : -ENOMEM;
        if (rc < 0)
            return rc;
    }
    int rc = manifest_read(*directory, manifest, err);
    if (rc == 0 && id[0] != '\0' && strcmp(id, manifest->id) != 0)
        rc = error_set(err, EBADMSG, "%s holds another image", *directory);
    if (rc < 0) {
        free(*directory);
        *directory = NULL;
        if (err != NULL && rc == -ENOENT && id[0] != '\0')
            err->code = EBADMSG; /* the name is there, what it names is not */
        rc = err != NULL && rc == -ENOENT ? -err->code : rc;
    }
    return rc;
}

static int image_repair_hint(const char *selector, struct error *err)
{
    return strchr(selector, '/') != NULL
               ? error_wrap(err, "image '%.300s' is damaged (make it again)", selector)
               : error_wrap(err,
                            "image '%.150s' is damaged (vmdeck image rm %.150s, then build or "
                            "import it again)",
                            selector, selector);
}

int image_open(const char *selector, struct image *image, struct error *err)
{
    *image = (struct image){0};
    CLEAN_FREE char *directory = NULL;
    struct manifest manifest;
    int rc = image_locate(selector, &directory, &manifest, err);
    if (rc == 0)
        rc = store_verify(directory, &manifest, err);
    if (rc == -EBADMSG)
        return image_repair_hint(selector, err);
    if (rc < 0)
        return rc;
    const struct manifest_part *parts = manifest.parts;
    memcpy(image->id, manifest.id, sizeof image->id);
    image->name = strdup(selector);
    image->arch = strdup(manifest.arch);
    image->kernel = str_printf("%s/%s", directory, parts[PART_KERNEL].file);
    image->initramfs = str_printf("%s/%s", directory, parts[PART_INITRAMFS].file);
    image->rootfs = str_printf("%s/%s", directory, parts[PART_ROOTFS].file);
    image->rootfs_size = parts[PART_ROOTFS].size;
    image->directory = take_ptr(directory);
    if (image->name == NULL || image->arch == NULL || image->kernel == NULL ||
        image->initramfs == NULL || image->rootfs == NULL) {
        image_close(image);
        return error_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

static int object_lock(const char *directory, int operation, int *out, struct error *err)
{
    CLEAN_FREE char *path = str_printf("%s/" MANIFEST_FILE, directory);
    if (path == NULL)
        return error_set(err, ENOMEM, "out of memory");
    CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_system(err, errno, "cannot open %s", path);
    while (flock(fd, operation) < 0)
        if (errno != EINTR)
            return error_system(err, errno, "cannot lock %s", path);
    struct stat opened, named;
    if (fstat(fd, &opened) < 0 || stat(path, &named) < 0 || opened.st_ino != named.st_ino)
        return error_set(err, ENOENT, "%s has been removed", directory);
    *out = take_fd(&fd);
    return 0;
}

int image_hold(const struct image *image, int *fd, struct error *err)
{
    return object_lock(image->directory, LOCK_SH, fd, err);
}

struct list_item {
    char *ref; /* NULL: the object has no name */
    char id[IMAGE_ID_SIZE];
};

struct list {
    struct list_item *items;
    size_t count;
};

static void list_free(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].ref);
    free(list->items);
}

static int list_add(struct list *list, char *ref, const char *id)
{
    struct list_item *items = reallocarray(list->items, list->count + 1, sizeof *items);
    if (items == NULL) {
        free(ref);
        return -ENOMEM;
    }
    list->items = items;
    items[list->count].ref = ref;
    memcpy(items[list->count++].id, id, IMAGE_ID_SIZE);
    return 0;
}

static int list_ref(void *context, const char *path, const struct store_ref *ref, const char *arch,
                    const char *id)
{
    (void)path;
    (void)arch;
    char *name = str_printf("%s:%s", ref->name, ref->tag);
    return name != NULL ? list_add(context, name, id) : -ENOMEM;
}

/* Objects that no ref in the list names. */
static int list_objects(struct list *list, struct error *err)
{
    CLEAN_FREE char *objects = NULL;
    int rc = store_path("objects", &objects, err);
    size_t named = list->count;
    CLEAN_DIR DIR *dir = rc == 0 ? opendir(objects) : NULL;
    const struct dirent *entry;
    while (dir != NULL && rc == 0 && (entry = readdir(dir)) != NULL) {
        bool known = strlen(entry->d_name) != IMAGE_ID_SIZE - 1;
        for (size_t i = 0; i < named && !known; i++)
            known = strcmp(list->items[i].id, entry->d_name) == 0;
        if (!known)
            rc = list_add(list, NULL, entry->d_name);
    }
    return rc;
}

static int list_order(const void *left, const void *right)
{
    const struct list_item *a = left;
    const struct list_item *b = right;
    if (a->ref == NULL || b->ref == NULL)
        return a->ref == b->ref ? strcmp(a->id, b->id) : (a->ref == NULL) - (b->ref == NULL);
    return strcmp(a->ref, b->ref);
}

int image_list(void (*row)(void *context, const struct image_row *row), void *context,
               struct error *err)
{
    __attribute__((cleanup(list_free))) struct list list = {0};
    int rc = store_refs(list_ref, &list, err);
    if (rc == 0)
        rc = list_objects(&list, err);
    if (rc < 0)
        return rc == -ENOMEM ? error_set(err, ENOMEM, "out of memory") : rc;
    if (list.count > 0)
        qsort(list.items, list.count, sizeof list.items[0], list_order);
    for (size_t i = 0; i < list.count; i++) {
        CLEAN_FREE char *directory = NULL;
        struct manifest manifest;
        if (image_locate(list.items[i].id, &directory, &manifest, NULL) < 0)
            continue;
        struct image_row out = {list.items[i].ref, manifest.id,   manifest.arch,
                                manifest.created,  manifest.name, 0};
        for (int part = 0; part < PART_COUNT; part++) {
            CLEAN_FREE char *path = str_printf("%s/%s", directory, manifest.parts[part].file);
            struct stat st;
            if (path != NULL && stat(path, &st) == 0)
                out.disk += (uint64_t)st.st_blocks * 512;
        }
        row(context, &out);
    }
    return 0;
}

int image_tag(const char *selector, const char *ref, struct error *err)
{
    CLEAN_FREE char *directory = NULL;
    struct manifest manifest;
    CLEAN_FD int lock = -1;
    if (strchr(selector, '/') != NULL)
        return error_set(err, EINVAL,
                         "'%.300s' is a directory (vmdeck image import takes it into the store)",
                         selector);
    int rc = store_lock(&lock, err);
    if (rc == 0)
        rc = image_locate(selector, &directory, &manifest, err);
    return rc < 0 ? rc : store_ref_write(ref, manifest.arch, manifest.id, err);
}

struct removal {
    const char *id;
    struct store_ref ref; /* to be unlinked; an empty name: none */
    char names[256];      /* of refs that remain, for the message */
};

static int removal_each(void *context, const char *path, const struct store_ref *ref,
                        const char *arch, const char *id)
{
    (void)arch;
    struct removal *removal = context;
    if (strcmp(removal->id, id) != 0)
        return 0;
    bool chosen =
        strcmp(ref->name, removal->ref.name) == 0 && strcmp(ref->tag, removal->ref.tag) == 0;
    if (chosen && unlink(path) < 0)
        return -errno;
    if (!chosen)
        snprintf(removal->names, sizeof removal->names, "%s:%s", ref->name, ref->tag);
    return 0;
}

static int object_remove(const char *id, struct error *err)
{
    CLEAN_FREE char *name = str_printf("objects/%s", id);
    CLEAN_FREE char *directory = NULL;
    CLEAN_SCRATCH struct scratch trash = SCRATCH_NONE;
    CLEAN_FD int held = -1;
    int rc = name != NULL ? store_path(name, &directory, err) : -ENOMEM;
    if (rc < 0)
        return rc;
    if (object_lock(directory, LOCK_EX | LOCK_NB, &held, NULL) == -EWOULDBLOCK)
        return error_set(err, EBUSY, "image %s is in use (stop its sessions first)", id);
    rc = store_begin(&trash, err);
    CLEAN_FREE char *to = rc == 0 ? str_printf("%s/%s", trash.path, id) : NULL;
    if (rc < 0 || to == NULL)
        return rc < 0 ? rc : error_set(err, ENOMEM, "out of memory");
    if (rename(directory, to) < 0 && errno != ENOENT)
        return error_system(err, errno, "cannot remove %s", directory);
    return 0;
}

int image_remove(const char *selector, struct error *err)
{
    char id[IMAGE_ID_SIZE];
    CLEAN_FD int lock = -1;
    int rc = store_lock(&lock, err);
    if (rc == 0)
        rc = store_find(selector, id, err);
    if (rc < 0)
        return rc;
    struct removal removal = {.id = id};
    bool by_name = strncmp(selector, id, strlen(selector)) != 0;
    if (by_name)
        rc = store_ref_parse(selector, &removal.ref, err);
    if (rc == 0 && (rc = store_refs(removal_each, &removal, err)) < 0)
        return error_system(err, -rc, "cannot remove the name '%s'", selector);
    if (rc < 0)
        return rc;
    if (removal.names[0] != '\0')
        return by_name ? 0
                       : error_set(err, EBUSY, "image %s has the name %s (remove that)", id,
                                   removal.names);
    rc = object_remove(id, err);
    return by_name && rc == -EBUSY ? 0 : rc;
}

int image_inspect(const char *selector, char **text, struct error *err)
{
    CLEAN_FREE char *directory = NULL;
    struct manifest manifest;
    *text = NULL;
    int rc = image_locate(selector, &directory, &manifest, err);
    return rc < 0 ? rc : manifest_write(&manifest, text, err);
}

/* Data areas of a file to another, holes stay holes; the hash is checked when it is sealed. */
static int copy_data(int from, int to, off_t size, struct error *err)
{
    if (ftruncate(to, size) < 0)
        return error_system(err, errno, "cannot write");
    for (off_t at = 0; (at = lseek(from, at, SEEK_DATA)) >= 0;) {
        off_t end = lseek(from, at, SEEK_HOLE);
        if (end < 0 || lseek(from, at, SEEK_SET) < 0 || lseek(to, at, SEEK_SET) < 0)
            return error_system(err, errno, "cannot read");
        while (at < end) {
            size_t part = end - at < (off_t)COPY_CHUNK ? (size_t)(end - at) : COPY_CHUNK;
            ssize_t got = copy_file_range(from, NULL, to, NULL, part, 0);
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return error_system(err, got < 0 ? errno : EIO, "cannot copy");
            at += got;
        }
    }
    return errno == ENXIO ? 0 : error_system(err, errno, "cannot read");
}

static int copy_part(const char *directory, const struct manifest_part *part, const char *to,
                     struct error *err)
{
    CLEAN_FREE char *source = str_printf("%s/%s", directory, part->file);
    CLEAN_FREE char *target = str_printf("%s/%s", to, part->file);
    if (source == NULL || target == NULL)
        return error_set(err, ENOMEM, "out of memory");
    CLEAN_FD int from = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (from < 0 || fstat(from, &st) < 0)
        return error_system(err, errno, "cannot open %s", source);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != part->size)
        return error_set(err, EBADMSG, "%s is not the file its manifest describes", source);
    CLEAN_FD int out = open(target, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return error_system(err, errno, "cannot create %s", target);
    int rc = copy_data(from, out, st.st_size, err);
    return rc < 0 ? error_wrap(err, "%s", source) : 0;
}

int image_import(const char *directory, const char *ref, char id[IMAGE_ID_SIZE], struct error *err)
{
    struct manifest source;
    struct store_ref parsed;
    CLEAN_SCRATCH struct scratch object = SCRATCH_NONE;
    int rc = ref != NULL ? store_ref_parse(ref, &parsed, err) : 0;
    if (rc == 0)
        rc = manifest_read(directory, &source, err);
    if (rc == 0)
        rc = store_begin(&object, err);
    for (int i = 0; i < PART_COUNT && rc == 0; i++)
        rc = copy_part(directory, &source.parts[i], object.path, err);
    struct manifest copied = source;
    if (rc == 0)
        rc = store_commit(&object, &copied, ref, NULL, err);
    if (rc < 0)
        return error_wrap(err, "cannot import %s", directory);
    memcpy(id, copied.id, IMAGE_ID_SIZE);
    return 0;
}
