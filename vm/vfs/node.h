/*
 * The table of nodes: what the guest's kernel knows by number (fuse_in_header.nodeid). A node is
 * one file of a provider, found by the provider's key, with the name under which it was seen last.
 * It stays while the kernel has looked it up more often than it forgot it, or somebody here uses
 * it. Locked: any thread. About 150 bytes a node.
 *
 * Counting: functions that return a node return a use of it, which node_put() ends.
 */
#ifndef VMDECK_VM_VFS_NODE_H
#define VMDECK_VM_VFS_NODE_H

#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vm/vfs/slots.h"

#define NODE_NAME_MAX 255u
#define NODES_MAX     (1024u * 1024) /* of one mount; a lookup beyond fails with ENFILE */

/* Which file this is: an inode number alone is used again once its file is gone. */
struct vfs_key {
    uint64_t inode;
    uint64_t birth;  /* time of creation or generation; 0: unknown */
    uint32_t device; /* the provider's number for it, 0 the root's */
};

/* What a provider found out about a file. */
struct found {
    struct fuse_attr attr;
    struct vfs_key key;
    uint64_t stamp; /* changes when content or attributes change; 0: unknown */
};

struct node {
    struct node *parent; /* a use; NULL: the root, or a node that has lost its name */
    char *name;
    struct node *key_next, *name_next;
    uint64_t id;
    uint64_t lookups;
    struct vfs_key key;
    uint32_t uses;    /* by us: children, handles, requests that run */
    uint64_t stamp;   /* as the guest has been told, or is going to be */
    atomic_int watch; /* inotify's number, -1: none; notify.c's */
    int32_t cached;   /* place in the cache of descriptors, -1: none; fdcache.c's */
    uint16_t busy;    /* requests that change it and have not recorded its stamp yet */
    uint8_t fs;       /* index of its provider in the mount */
    bool directory;
    bool deleted; /* its last name is gone, by the guest's doing */
    bool shared;  /* has several names: a watch on one directory does not see all changes */
};

struct nodes {
    pthread_mutex_t lock;
    struct slots ids;
    struct node **by_key, **by_name;
    size_t buckets, count;
    /* Called with the lock held when a node goes: whoever attached something to it lets go. */
    void (*gone)(void *context, struct node *node);
    void *context;
};

/* The root gets FUSE_ROOT_ID and stays until the end. 0 or -ENOMEM. */
int nodes_open(struct nodes *nodes, void (*gone)(void *, struct node *), void *context);
void nodes_close(struct nodes *nodes);

/* NULL: there is no such node. */
struct node *nodes_get(struct nodes *nodes, uint64_t id);
void node_put(struct nodes *nodes, struct node *node);

/*
 * The node of what was found as `name` in `parent`, new or known; it is known by that name from
 * now on. `lookups` is what the kernel is going to be told of it. 0, -ENFILE, -ENOMEM.
 */
int nodes_enter(struct nodes *nodes, struct node *parent, const char *name, uint8_t fs,
                const struct found *found, uint64_t lookups, struct node **out);

void nodes_forget(struct nodes *nodes, uint64_t id, uint64_t lookups);

/* The node that is known by that name, or NULL. */
struct node *nodes_child(struct nodes *nodes, const struct node *parent, const char *name);

/* Goes through all nodes: NULL at the end. *at starts as 0. */
struct node *nodes_after(struct nodes *nodes, uint32_t *at);

/* The node's parent, NULL if it has no name; its name goes into `name`. */
struct node *nodes_parent(struct nodes *nodes, const struct node *node,
                          char name[NODE_NAME_MAX + 1]);

/* True while the file has a node. */
bool nodes_known(struct nodes *nodes, uint8_t fs, const struct vfs_key *key);

/* The name is gone. The node stays as long as it is known or used. */
void nodes_unname(struct nodes *nodes, const struct node *parent, const char *name);

/* renameat2(): what was known by the new name loses it, or gets the old one. */
void nodes_rename(struct nodes *nodes, struct node *from, const char *name, struct node *to,
                  const char *new_name, bool exchange);

/*
 * The path from the root, without a slash in front ("" for the root). -ESTALE for a node without
 * name above it, -ENAMETOOLONG.
 */
int nodes_path(struct nodes *nodes, const struct node *node, char *path, size_t size);

/*
 * For state that comes back, before anybody else uses the table: all nodes (the root is there) in
 * the order of their ids, then their names. -EINVAL: not a table that could have been.
 */
int nodes_restore(struct nodes *nodes, const struct node *copy);
int nodes_bind(struct nodes *nodes, uint64_t id, uint64_t parent_id, const char *name);

/* One name of a directory, not "." or "..", with its NUL right behind `length` bytes. */
static inline bool node_name_valid(const char *name, size_t length)
{
    return length > 0 && length <= NODE_NAME_MAX && memchr(name, '/', length) == NULL &&
           memchr(name, '\0', length) == NULL && !(name[0] == '.' && length == 1) &&
           !(name[0] == '.' && name[1] == '.' && length == 2);
}

static inline bool key_equal(const struct vfs_key *a, const struct vfs_key *b)
{
    return a->inode == b->inode && a->birth == b->birth && a->device == b->device;
}

static inline uint64_t vfs_mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ (b * 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu;
    return x ^ x >> 32;
}

static inline uint64_t key_hash(const struct vfs_key *key)
{
    return vfs_mix(vfs_mix(key->inode, key->birth), key->device + 1u);
}

#endif
