/*
 * Two chained hash tables, by key and by (parent, name), that grow together; ids are slots. The
 * name is what lets a provider open a file again for which it keeps no descriptor. A file with
 * several names is known by the one seen last.
 *
 * Parents are in use as long as they have children, so a path can always be walked; a hostile
 * guest could only make a directory its own ancestor if the host's kernel let it.
 */
#include "vm/vfs/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 64u

static size_t key_bucket(const struct nodes *nodes, uint8_t fs, const struct vfs_key *key)
{
    return vfs_mix(key_hash(key), fs) & (nodes->buckets - 1);
}

static size_t name_bucket(const struct nodes *nodes, const struct node *parent, const char *name)
{
    uint64_t hash = parent->id;
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    return vfs_mix(hash, 1) & (nodes->buckets - 1);
}

static void name_link(struct nodes *nodes, struct node *node)
{
    struct node **bucket = &nodes->by_name[name_bucket(nodes, node->parent, node->name)];
    node->name_next = *bucket;
    *bucket = node;
}

static void key_link(struct nodes *nodes, struct node *node)
{
    struct node **bucket = &nodes->by_key[key_bucket(nodes, node->fs, &node->key)];
    node->key_next = *bucket;
    *bucket = node;
}

static int nodes_grow(struct nodes *nodes)
{
    if (nodes->count < nodes->buckets)
        return 0;
    size_t buckets = nodes->buckets != 0 ? nodes->buckets * 2 : BUCKETS_MIN;
    struct node **by_key = calloc(buckets, sizeof(struct node *));
    struct node **by_name = calloc(buckets, sizeof(struct node *));
    if (by_key == NULL || by_name == NULL) {
        free(by_key);
        free(by_name);
        return -ENOMEM;
    }
    free(nodes->by_key);
    free(nodes->by_name);
    nodes->by_key = by_key;
    nodes->by_name = by_name;
    nodes->buckets = buckets;
    uint32_t at = 0;
    for (struct node *node; (node = slots_next(&nodes->ids, &at)) != NULL;) {
        key_link(nodes, node);
        if (node->parent != NULL)
            name_link(nodes, node);
    }
    return 0;
}

int nodes_open(struct nodes *nodes, void (*gone)(void *, struct node *), void *context)
{
    *nodes = (struct nodes){.ids.max = NODES_MAX, .gone = gone, .context = context};
    pthread_mutex_init(&nodes->lock, NULL);
    struct node *root = calloc(1, sizeof *root);
    if (root == NULL || nodes_grow(nodes) < 0) {
        free(root);
        return -ENOMEM;
    }
    *root = (struct node){.uses = 1, .watch = -1, .cached = -1, .directory = true};
    root->id = slots_add(&nodes->ids, root);
    if (root->id != FUSE_ROOT_ID) {
        free(root);
        return -ENOMEM;
    }
    nodes->count = 1;
    key_link(nodes, root);
    return 0;
}

void nodes_close(struct nodes *nodes)
{
    uint32_t at = 0;
    for (struct node *node; (node = slots_next(&nodes->ids, &at)) != NULL;) {
        nodes->gone(nodes->context, node);
        free(node->name);
        free(node);
    }
    slots_free(&nodes->ids);
    free(nodes->by_key);
    free(nodes->by_name);
    pthread_mutex_destroy(&nodes->lock);
}

/* Takes the name away and returns the parent, whose use is now the caller's. */
static struct node *unname(struct nodes *nodes, struct node *node)
{
    struct node *parent = node->parent;
    if (parent == NULL)
        return NULL;
    struct node **link = &nodes->by_name[name_bucket(nodes, parent, node->name)];
    while (*link != node)
        link = &(*link)->name_next;
    *link = node->name_next;
    free(node->name);
    node->name = NULL;
    node->parent = NULL;
    return parent;
}

static void drop(struct nodes *nodes, struct node *node)
{
    while (node != NULL && node->uses == 0 && node->lookups == 0) {
        struct node *parent = unname(nodes, node);
        struct node **link = &nodes->by_key[key_bucket(nodes, node->fs, &node->key)];
        while (*link != node)
            link = &(*link)->key_next;
        *link = node->key_next;
        nodes->gone(nodes->context, node);
        slots_remove(&nodes->ids, node->id);
        nodes->count--;
        free(node);
        if (parent != NULL)
            parent->uses--;
        node = parent;
    }
}

static void release_parent(struct nodes *nodes, struct node *parent)
{
    if (parent == NULL)
        return;
    parent->uses--;
    drop(nodes, parent);
}

struct node *nodes_get(struct nodes *nodes, uint64_t id)
{
    pthread_mutex_lock(&nodes->lock);
    struct node *node = slots_get(&nodes->ids, id);
    if (node != NULL)
        node->uses++;
    pthread_mutex_unlock(&nodes->lock);
    return node;
}

void node_put(struct nodes *nodes, struct node *node)
{
    if (node == NULL)
        return;
    pthread_mutex_lock(&nodes->lock);
    node->uses--;
    drop(nodes, node);
    pthread_mutex_unlock(&nodes->lock);
}

static struct node *child(const struct nodes *nodes, const struct node *parent, const char *name)
{
    struct node *node = nodes->by_name[name_bucket(nodes, parent, name)];
    while (node != NULL && (node->parent != parent || strcmp(node->name, name) != 0))
        node = node->name_next;
    return node;
}

/* Gives the name, which is handed over and free. */
static void set_name(struct nodes *nodes, struct node *node, struct node *parent, char *name)
{
    node->parent = parent;
    node->name = name;
    parent->uses++;
    name_link(nodes, node);
}

static bool is_below(const struct node *node, const struct node *above)
{
    while (node != NULL && node != above)
        node = node->parent;
    return node != NULL;
}

/* A directory that the host moved below itself between two looks would make the path a ring. */
static void rebind(struct nodes *nodes, struct node *node, struct node *parent, char *name)
{
    if (node->id == FUSE_ROOT_ID || is_below(parent, node)) {
        free(name);
        return;
    }
    struct node *before = child(nodes, parent, name);
    if (before == node) {
        free(name);
        return;
    }
    node->uses++; /* none of what follows may free it, or the parent */
    parent->uses++;
    if (before != NULL) {
        release_parent(nodes, unname(nodes, before));
        drop(nodes, before);
    }
    release_parent(nodes, unname(nodes, node));
    set_name(nodes, node, parent, name);
    node->uses--;
    parent->uses--;
}

static struct node *by_key(const struct nodes *nodes, uint8_t fs, const struct vfs_key *key)
{
    struct node *node = nodes->by_key[key_bucket(nodes, fs, key)];
    while (node != NULL && (node->fs != fs || !key_equal(&node->key, key)))
        node = node->key_next;
    return node;
}

static struct node *add(struct nodes *nodes, uint8_t fs, const struct vfs_key *key)
{
    struct node *node = nodes_grow(nodes) == 0 ? calloc(1, sizeof *node) : NULL;
    if (node == NULL)
        return NULL;
    *node = (struct node){.key = *key, .fs = fs, .watch = -1, .cached = -1};
    node->id = slots_add(&nodes->ids, node);
    if (node->id == 0) {
        free(node);
        return NULL;
    }
    nodes->count++;
    key_link(nodes, node);
    return node;
}

int nodes_enter(struct nodes *nodes, struct node *parent, const char *name, uint8_t fs,
                const struct found *found, uint64_t lookups, struct node **out)
{
    char *copy = strdup(name);
    if (copy == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&nodes->lock);
    struct node *node = by_key(nodes, fs, &found->key);
    bool known = node != NULL;
    if (!known)
        node = add(nodes, fs, &found->key);
    if (node != NULL) {
        node->uses++;
        node->lookups += lookups;
        node->directory = (found->attr.mode & 0170000) == 0040000;
        node->shared = !node->directory && found->attr.nlink > 1;
        if (!known)
            node->stamp = found->stamp;
        rebind(nodes, node, parent, copy);
    } else {
        free(copy);
    }
    pthread_mutex_unlock(&nodes->lock);
    *out = node;
    return node != NULL ? 0 : -ENFILE;
}

void nodes_forget(struct nodes *nodes, uint64_t id, uint64_t lookups)
{
    pthread_mutex_lock(&nodes->lock);
    struct node *node = slots_get(&nodes->ids, id);
    if (node != NULL) {
        node->lookups -= lookups < node->lookups ? lookups : node->lookups;
        drop(nodes, node);
    }
    pthread_mutex_unlock(&nodes->lock);
}

struct node *nodes_child(struct nodes *nodes, const struct node *parent, const char *name)
{
    pthread_mutex_lock(&nodes->lock);
    struct node *node = child(nodes, parent, name);
    if (node != NULL)
        node->uses++;
    pthread_mutex_unlock(&nodes->lock);
    return node;
}

struct node *nodes_after(struct nodes *nodes, uint32_t *at)
{
    pthread_mutex_lock(&nodes->lock);
    struct node *node = slots_next(&nodes->ids, at);
    if (node != NULL)
        node->uses++;
    pthread_mutex_unlock(&nodes->lock);
    return node;
}

struct node *nodes_parent(struct nodes *nodes, const struct node *node,
                          char name[NODE_NAME_MAX + 1])
{
    pthread_mutex_lock(&nodes->lock);
    struct node *parent = node->parent;
    if (parent != NULL) {
        parent->uses++;
        memcpy(name, node->name, strlen(node->name) + 1);
    }
    pthread_mutex_unlock(&nodes->lock);
    return parent;
}

bool nodes_known(struct nodes *nodes, uint8_t fs, const struct vfs_key *key)
{
    pthread_mutex_lock(&nodes->lock);
    bool known = by_key(nodes, fs, key) != NULL;
    pthread_mutex_unlock(&nodes->lock);
    return known;
}

void nodes_unname(struct nodes *nodes, const struct node *parent, const char *name)
{
    pthread_mutex_lock(&nodes->lock);
    struct node *node = child(nodes, parent, name);
    if (node != NULL) {
        release_parent(nodes, unname(nodes, node));
        drop(nodes, node);
    }
    pthread_mutex_unlock(&nodes->lock);
}

void nodes_rename(struct nodes *nodes, struct node *from, const char *name, struct node *to,
                  const char *new_name, bool exchange)
{
    char *first = strdup(new_name), *second = strdup(name);
    pthread_mutex_lock(&nodes->lock);
    struct node *moved = child(nodes, from, name);
    struct node *other = exchange ? child(nodes, to, new_name) : NULL;
    struct node *replaced = exchange || moved != NULL ? NULL : child(nodes, to, new_name);
    if (replaced != NULL) {
        release_parent(nodes, unname(nodes, replaced));
        drop(nodes, replaced);
    }
    if (moved != NULL)
        moved->uses++;
    if (other != NULL) {
        other->uses++;
        release_parent(nodes, unname(nodes, other));
    }
    if (moved != NULL && first != NULL)
        rebind(nodes, moved, to, first);
    else
        free(first);
    if (other != NULL && second != NULL)
        rebind(nodes, other, from, second);
    else
        free(second);
    if (moved != NULL)
        moved->uses--, drop(nodes, moved);
    if (other != NULL)
        other->uses--, drop(nodes, other);
    pthread_mutex_unlock(&nodes->lock);
}

int nodes_path(struct nodes *nodes, const struct node *node, char *path, size_t size)
{
    pthread_mutex_lock(&nodes->lock);
    size_t start = size - 1;
    int rc = 0;
    path[start] = '\0';
    for (; rc == 0 && node->id != FUSE_ROOT_ID; node = node->parent) {
        size_t len = node->parent != NULL ? strlen(node->name) : 0;
        size_t slash = start != size - 1;
        if (len == 0)
            rc = -ESTALE;
        else if (len + slash > start)
            rc = -ENAMETOOLONG;
        if (rc < 0)
            break;
        if (slash)
            path[--start] = '/';
        start -= len;
        memcpy(path + start, node->name, len);
    }
    memmove(path, path + start, size - start);
    pthread_mutex_unlock(&nodes->lock);
    return rc;
}

int nodes_restore(struct nodes *nodes, const struct node *copy)
{
    struct node *node = nodes_grow(nodes) == 0 ? calloc(1, sizeof *node) : NULL;
    if (node == NULL)
        return -ENOMEM;
    *node = *copy;
    int rc = by_key(nodes, copy->fs, &copy->key) == NULL
                 ? slots_restore(&nodes->ids, copy->id, node)
                 : -EINVAL;
    if (rc < 0) {
        free(node);
        return rc;
    }
    nodes->count++;
    key_link(nodes, node);
    return 0;
}

int nodes_bind(struct nodes *nodes, uint64_t id, uint64_t parent_id, const char *name)
{
    struct node *node = slots_get(&nodes->ids, id), *parent = slots_get(&nodes->ids, parent_id);
    char *copy = node != NULL && parent != NULL ? strdup(name) : NULL;
    if (copy == NULL)
        return node != NULL && parent != NULL ? -ENOMEM : -EINVAL;
    rebind(nodes, node, parent, copy);
    return 0;
}
