/*
 * The image store's own side, for what makes images (build.c, import): see image.h for the
 * layout. Beside objects/ and refs/ there are stamps/ (what was verified when), `lock` (held for
 * moments around every change) and tmp.* (objects in the making).
 */
#ifndef VMDECK_VM_IMAGE_STORE_H
#define VMDECK_VM_IMAGE_STORE_H

#include "base/error.h"
#include "vm/image/image.h"
#include "vm/image/manifest.h"
#include "vm/image/scratch.h"

/* The store's directory, made where it is missing, with "/name" behind it if that is not NULL. */
int store_path(const char *name, char **out, struct error *err);

/* uname()'s machine, of which images are made and preferred. */
int store_machine(char arch[MANIFEST_TEXT_MAX], struct error *err);

/* A directory in the store to make an object in. */
int store_begin(struct scratch *out, struct error *err);

/*
 * Takes the object in: parts that lie in the directory under the names in manifest->parts[].file
 * are measured and hashed (size and sha256 are filled in), the manifest is written, everything
 * is synced and renamed to objects/<id>, and `ref` (may be NULL) points at it. Where the
 * manifest has an id already and the parts give another one: -EBADMSG.
 */
int store_commit(struct scratch *object, struct manifest *manifest, const char *ref,
                 const volatile int *cancel, struct error *err);

/* The build id that a ref of this machine's architecture points at, or -ENOENT. */
int store_ref_read(const char *ref, const char *arch, char id[IMAGE_ID_SIZE], struct error *err);

/* Splits name[:tag] (tag: latest). -EINVAL with what a name may be. Both 64 chars and NUL. */
#define STORE_NAME_MAX 64
struct store_ref {
    char name[STORE_NAME_MAX + 1];
    char tag[STORE_NAME_MAX + 1];
};
int store_ref_parse(const char *text, struct store_ref *out, struct error *err);

/* Build id of what is no directory: an id, a unique prefix of one, or a ref. */
int store_find(const char *selector, char id[IMAGE_ID_SIZE], struct error *err);

/* Takes the store's lock; close the descriptor to release it. */
int store_lock(int *fd, struct error *err);

/* Points the ref at the object. The caller holds the lock. */
int store_ref_write(const char *ref, const char *arch, const char *id, struct error *err);

/*
 * Calls `each` for every ref; a non-zero result ends it and is returned. `path` is that of the
 * symlink.
 */
typedef int store_ref_each(void *context, const char *path, const struct store_ref *ref,
                           const char *arch, const char *id);
int store_refs(store_ref_each *each, void *context, struct error *err);

/* Whether each part has the manifest's size and content; stamps save reading it again. */
int store_verify(const char *directory, const struct manifest *manifest, struct error *err);

/* Notes an object as verified whose parts were hashed as they were made. */
void store_remember(const char *directory, const struct manifest *manifest);

#endif
