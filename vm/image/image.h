/*
 * Images: a kernel, an initramfs with the modules that mount the root, and an ext4 root file
 * system, described by manifest.json. The store is
 *
 *     $XDG_DATA_HOME/vmdeck/images/objects/<build id>/{manifest.json,kernel,initramfs,rootfs.ext4}
 *     $XDG_DATA_HOME/vmdeck/images/refs/<name>/<tag>/<arch>  →  ../../../objects/<build id>
 *
 * An object never changes once it is there: it is built beside and renamed into place. The agent
 * is not in the image: image_initrd() adds the program's own.
 * All functions may be called from several processes at once. Not thread-safe within one.
 */
#ifndef VMDECK_VM_IMAGE_IMAGE_H
#define VMDECK_VM_IMAGE_IMAGE_H

#include <stdint.h>

#include "base/error.h"

#define IMAGE_ID_SIZE 33 /* 32 lower-case hexadecimal digits and NUL */
#define IMAGE_DEFAULT "default:latest"

struct image {
    char id[IMAGE_ID_SIZE];
    char *name;      /* "default:latest", the build id, or the directory: as it was selected */
    char *arch;      /* x86_64, aarch64 */
    char *directory; /* absolute */
    char *kernel;    /* absolute path of an uncompressed vmlinux (x86_64) */
    char *initramfs;
    char *rootfs;
    uint64_t rootfs_size; /* bytes */
};

/*
 * Finds the image that `selector` names: a directory (it contains a '/'), a build id (or unique
 * prefix of at least 8 digits), or name[:tag]. Checks every part against the manifest: size
 * always, sha256 when the part's inode, size, mtime or ctime differ from the last time it was
 * checked (a stamp file beside the refs). -ENOENT: no such image (the message says how to list or
 * build); -EBADMSG: a part is missing or changed (which, and what to do).
 */
int image_open(const char *selector, struct image *image, struct error *err);

void image_close(struct image *image);
#define CLEAN_IMAGE __attribute__((cleanup(image_close)))

/*
 * Path of an initrd for the image: its initramfs with the agent appended (a second cpio archive,
 * see the kernel's Documentation/driver-api/early-userspace/buffer-format.rst), kept in the cache
 * under a name derived from both. The caller frees *path.
 */
int image_initrd(const struct image *image, char **path, struct error *err);

/* What a build reports: where it is, 0 to 1000 per mille, and in which step. */
typedef void image_progress(void *context, unsigned per_mille, const char *step);

struct image_build {
    image_progress *progress; /* may be NULL; called on the building thread */
    void *context;
    /* Set to non-zero by a signal handler: the build stops and cleans up. May be NULL. */
    const volatile int *cancel;
};

/*
 * Builds the default image and points `default:latest` at it; id gets its build id. Where another
 * process is building, waits for that and takes its result. -ECANCELED, -ENETUNREACH (one line
 * that says the mirror cannot be reached), …: nothing is left behind.
 */
int image_build_default(const struct image_build *build, char id[IMAGE_ID_SIZE], struct error *err);

/*
 * Keeps the image from being removed while it is used: a descriptor to hold open as long (it may
 * be inherited). -ENOENT: it has been removed since it was opened.
 */
int image_hold(const struct image *image, int *fd, struct error *err);

/* A row of the list: one for each name, and one without a name for an object that has none. */
struct image_row {
    const char *ref; /* name:tag, or NULL */
    const char *id;  /* build id */
    const char *arch;
    const char *created; /* RFC 3339, UTC */
    const char *title;   /* what the manifest calls it: Debian 12 */
    uint64_t disk;       /* bytes that the parts take on disk */
};

/* Calls `row` for each, sorted by ref, those without last. What cannot be read is left out. */
int image_list(void (*row)(void *context, const struct image_row *row), void *context,
               struct error *err);

/* Gives the image that `selector` names a further name, replacing what that name meant. */
int image_tag(const char *selector, const char *ref, struct error *err);

/*
 * Removes the name, and the object if that was its last name and nobody holds it (it stays then,
 * without a name). With a build id: the object; -EBUSY if it has a name or is held.
 */
int image_remove(const char *selector, struct error *err);

/* The manifest's text, which the caller frees. The parts are not looked at. */
int image_inspect(const char *selector, char **manifest, struct error *err);

/*
 * Copies an asset directory into the store, verifying it; symlinked parts are copied as files.
 * ref may be NULL. id gets the build id. The same image twice, at once too, is one object.
 */
int image_import(const char *directory, const char *ref, char id[IMAGE_ID_SIZE], struct error *err);

#endif
