/*
 * The names of a file system that is being written: a tree in memory, one node a name, found by
 * (directory, name) in a hash table. Nodes never move and are never removed.
 */
#ifndef VMDECK_VM_IMAGE_EXT4_TREE_H
#define VMDECK_VM_IMAGE_EXT4_TREE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define TREE_NAME_MAX 255

struct node {
    struct node *parent; /* the root is its own */
    struct node *first, *last, *sibling;
    struct node *chain;   /* of the hash table */
    char *target;         /* of a symlink */
    uint32_t ino;         /* 0: has no inode yet */
    uint32_t directories; /* below, directly */
    mode_t type;          /* S_IFMT bits */
    uint8_t length;       /* of the name */
    char name[];
};

struct tree {
    struct node **nodes; /* in order of making; [0] is the root */
    size_t count, capacity;
    struct node **table;
    size_t buckets; /* a power of two */
};

int tree_init(struct tree *tree, struct error *err);
void tree_free(struct tree *tree);

/*
 * The node of a path. Symlinks before the last name are followed inside the tree. Where `create`
 * is set, what is missing is made, the directories above as S_IFDIR nodes and the last as a node
 * without type or inode; else -ENOENT.
 */
int tree_find(struct tree *tree, const char *path, int create, struct node **out,
              struct error *err);

#endif
