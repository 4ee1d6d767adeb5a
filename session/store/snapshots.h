/*
 * The index of this user's snapshots, in the registry's database. The files are the truth: a row
 * says where a file was put and what it is, and is forgotten when nothing is there any more.
 * Threads, times and errors as in registry.h.
 */
#ifndef VMDECK_SESSION_STORE_SNAPSHOTS_H
#define VMDECK_SESSION_STORE_SNAPSHOTS_H

#include "session/store/registry.h"

#define SNAPSHOT_ID_SIZE SESSION_ID_SIZE
#define SNAPSHOT_SUFFIX  ".qcow2"

enum snapshot_kind { SNAPSHOT_RAM, SNAPSHOT_DISK, SNAPSHOT_KINDS };
const char *snapshot_kind_name(enum snapshot_kind kind); /* "ram", "disk" */

/*
 * One snapshot. Given to this module, texts belong to the caller and NULL means "". Returned by
 * it, they are never NULL, and snapshot_record_free() releases them.
 */
struct snapshot_record {
    char id[SNAPSHOT_ID_SIZE]; /* 8 lower-case hex digits */
    enum snapshot_kind kind;
    const char *name; /* "": none; rules of session_name_check() */
    const char *path; /* absolute */
    const char *image;
    const char *image_build;
    const char *session; /* the id of the one it was taken of */
    const char *session_name;
    int64_t memory;  /* bytes of the guest */
    int64_t size;    /* bytes of the file */
    int64_t created; /* 0, given to snapshot_add(): now */
    char *memory_block;
};
void snapshot_record_free(struct snapshot_record *record);
#define CLEAN_SNAPSHOT __attribute__((cleanup(snapshot_record_free)))

struct snapshot_list {
    struct snapshot_record *items;
    size_t count;
};
void snapshot_list_free(struct snapshot_list *list);
#define CLEAN_SNAPSHOTS __attribute__((cleanup(snapshot_list_free)))

/*
 * Where a snapshot goes that nobody gave a path: $XDG_DATA_HOME/vmdeck/snapshots/<name>.qcow2, or
 * with a new id where the name is NULL. Makes the directory; the caller frees the path.
 */
int snapshot_path(const char *name, char **out, struct error *err);

/* Whether a new snapshot may have the name: its form (-EINVAL), and nobody has it (-EEXIST). */
int snapshot_name_check(struct registry *registry, const char *name, struct error *err);

/*
 * Adds a snapshot whose file is complete; fills in id and created. A file named <8 hex
 * digits>.qcow2 gives the id, if it is free. Replaces a row of the same path. -EEXIST: the name
 * is taken. -E2BIG or -EINVAL: a field is too long or makes no sense; the message names it.
 */
int snapshot_add(struct registry *registry, struct snapshot_record *record, struct error *err);

/* 1: there is a row of that path, 0: there is none, or a negative errno. */
int snapshot_indexed(struct registry *registry, const char *path, struct error *err);

/* Forgets a snapshot; the file stays. 0 also if there was none. */
int snapshot_remove(struct registry *registry, const char *id, struct error *err);

/*
 * Gives a snapshot another name; the file stays where it is. Errors as of snapshot_name_check(),
 * and -ENOENT: there is no such snapshot.
 */
int snapshot_rename(struct registry *registry, const char *id, const char *name, struct error *err);

/*
 * The snapshot that the user's word means: an id, a name, or a prefix of exactly one id. Does not
 * look at the file. -ENOENT: none. -ENOTUNIQ: several, which the message lists. *out is zeroed on
 * failure.
 */
int snapshot_find(struct registry *registry, const char *word, struct snapshot_record *out,
                  struct error *err);

/*
 * Ordered by time of creation; forgets those whose file is gone on the way. *out is emptied first,
 * and empty on failure.
 */
int snapshot_list(struct registry *registry, struct snapshot_list *out, struct error *err);

#endif
