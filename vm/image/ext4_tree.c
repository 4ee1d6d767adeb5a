/*
 * Looking up goes name by name from the root. A symlink on the way is walked in the same manner
 * from its own directory (or the root); ".." stops at the root, as it does in a chroot, so no
 * path can name anything outside. Depth of symlinks and lengths are bounded like the kernel's.
 */
#include "vm/image/ext4_tree.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define TREE_LINKS_MAX 40

struct walk {
    struct tree *tree;
    int create;
    int links; /* symlinks followed so far */
    struct error *err;
};

static size_t tree_hash(const struct node *parent, const char *name, size_t length)
{
    uint64_t hash = 14695981039346656037u ^ (uintptr_t)parent; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)name[i]) * 1099511628211u;
    return (size_t)(hash ^ hash >> 32);
}

static int tree_grow(struct tree *tree)
{
    size_t buckets = tree->buckets != 0 ? tree->buckets * 2 : 1024;
    struct node **nodes = reallocarray(tree->nodes, buckets, sizeof(struct node *));
    if (nodes == NULL)
        return -ENOMEM;
    tree->nodes = nodes;
    tree->capacity = buckets;
    struct node **table = calloc(buckets, sizeof(struct node *));
    if (table == NULL)
        return -ENOMEM;
    free(tree->table);
    tree->table = table;
    tree->buckets = buckets;
    for (size_t i = 0; i < tree->count; i++) {
        struct node *node = tree->nodes[i];
        struct node **slot =
            &table[tree_hash(node->parent, node->name, node->length) & (buckets - 1)];
        node->chain = *slot;
        *slot = node;
    }
    return 0;
}

static struct node *tree_add(struct tree *tree, struct node *parent, const char *name,
                             size_t length)
{
    if (tree->count == tree->capacity && tree_grow(tree) < 0)
        return NULL;
    struct node *node = calloc(1, sizeof *node + length + 1);
    if (node == NULL)
        return NULL;
    memcpy(node->name, name, length);
    node->length = (uint8_t)length;
    node->parent = parent != NULL ? parent : node;
    if (parent != NULL && parent->last != NULL)
        parent->last->sibling = node;
    else if (parent != NULL)
        parent->first = node;
    if (parent != NULL)
        parent->last = node;
    struct node **slot = &tree->table[tree_hash(node->parent, name, length) & (tree->buckets - 1)];
    node->chain = *slot;
    *slot = node;
    tree->nodes[tree->count++] = node;
    return node;
}

int tree_init(struct tree *tree, struct error *err)
{
    *tree = (struct tree){0};
    struct node *root = tree_add(tree, NULL, "", 0);
    if (root == NULL)
        return error_set(err, ENOMEM, "out of memory");
    root->type = S_IFDIR;
    return 0;
}

void tree_free(struct tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        free(tree->nodes[i]->target);
        free(tree->nodes[i]);
    }
    free(tree->nodes);
    free(tree->table);
    *tree = (struct tree){0};
}

static struct node *tree_child(const struct tree *tree, const struct node *parent, const char *name,
                               size_t length)
{
    struct node *node = tree->table[tree_hash(parent, name, length) & (tree->buckets - 1)];
    while (node != NULL && (node->parent != parent || node->length != length ||
                            memcmp(node->name, name, length) != 0))
        node = node->chain;
    return node;
}

static int walk_path(struct walk *walk, struct node *from, const char *path, int follow_last,
                     struct node **out);

/* One name below *at, which becomes its node; a symlink is followed where `follow` is set. */
static int walk_name(struct walk *walk, struct node **at, const char *name, size_t length,
                     int follow)
{
    if (length == 1 && name[0] == '.')
        return 0;
    if (length == 2 && name[0] == '.' && name[1] == '.') {
        *at = (*at)->parent;
        return 0;
    }
    if (length > TREE_NAME_MAX)
        return error_set(walk->err, ENAMETOOLONG, "a name is longer than %d bytes", TREE_NAME_MAX);
    if ((*at)->type == 0 && walk->create)
        (*at)->type = S_IFDIR; /* made by this walk: something goes below */
    if ((*at)->type != S_IFDIR)
        return error_set(walk->err, ENOTDIR, "'%s' is not a directory", (*at)->name);
    struct node *node = tree_child(walk->tree, *at, name, length);
    if (node == NULL && !walk->create)
        return error_set(walk->err, ENOENT, "there is no such file");
    if (node == NULL)
        node = tree_add(walk->tree, *at, name, length);
    if (node == NULL)
        return error_set(walk->err, ENOMEM, "out of memory");
    if (node->type != S_IFLNK || !follow) {
        *at = node;
        return 0;
    }
    if (++walk->links > TREE_LINKS_MAX)
        return error_set(walk->err, ELOOP, "too many symlinks on the way");
    return walk_path(walk, *at, node->target, 1, at);
}

/* Recursion is bounded by walk->links. */
static int walk_path(struct walk *walk, struct node *from, const char *path, int follow_last,
                     struct node **out)
{
    struct node *at = path[0] == '/' ? walk->tree->nodes[0] : from;
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        const char *next = path + length;
        next += strspn(next, "/");
        if (length > 0) {
            int rc = walk_name(walk, &at, path, length, *next != '\0' || follow_last);
            if (rc < 0)
                return rc;
        }
        path = next;
    }
    *out = at;
    return 0;
}

static int path_has_dotdot(const char *path)
{
    for (const char *p = path; (p = strstr(p, "..")) != NULL; p += 2)
        if ((p == path || p[-1] == '/') && (p[2] == '/' || p[2] == '\0'))
            return 1;
    return 0;
}

int tree_find(struct tree *tree, const char *path, int create, struct node **out, struct error *err)
{
    if (strlen(path) >= PATH_MAX)
        return error_set(err, ENAMETOOLONG, "the path is longer than %d bytes", PATH_MAX - 1);
    if (path_has_dotdot(path))
        return error_set(err, EINVAL, "the path has a '..' in it");
    struct walk walk = {tree, create, 0, err};
    return walk_path(&walk, tree->nodes[0], path, 0, out);
}
