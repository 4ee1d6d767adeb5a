/*
 * Directories: a table of all names of the file system, keyed by directory and name, and in each
 * directory its entries in the order in which they came. An entry's cookie, which only grows, is
 * its offset for readdir: a listing that goes on while entries come and go sees each entry that
 * stays exactly once. Places of removed entries are taken out when they are the larger part.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/vfs/memfs_parts.h"

static size_t name_bucket(const struct memfs *fs, const struct inode *dir, const char *name)
{
    uint64_t hash = dir->attr.ino;
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    return vfs_mix(hash, 1) & (fs->buckets - 1);
}

void memfs_names_fill(struct memfs *fs)
{
    for (size_t i = 0; i < fs->buckets; i++)
        for (const struct inode *dir = fs->numbers[i]; dir != NULL; dir = dir->next)
            for (size_t at = 0; at < dir->place_count; at++) {
                struct entry *entry = dir->places[at].entry;
                if (entry == NULL)
                    continue;
                struct entry **bucket = &fs->names[name_bucket(fs, dir, entry->name)];
                entry->next = *bucket;
                *bucket = entry;
            }
}

struct entry *memfs_entry(const struct memfs *fs, const struct inode *dir, const char *name)
{
    struct entry *entry = fs->names[name_bucket(fs, dir, name)];
    while (entry != NULL && (entry->dir != dir || strcmp(entry->name, name) != 0))
        entry = entry->next;
    return entry;
}

static int new_place(struct inode *dir)
{
    if (dir->place_count < dir->place_capacity)
        return 0;
    size_t capacity = dir->place_capacity != 0 ? dir->place_capacity * 2 : 8;
    struct place *places = realloc(dir->places, capacity * sizeof *places);
    if (places == NULL)
        return -ENOMEM;
    dir->places = places;
    dir->place_capacity = capacity;
    return 0;
}

/* Counts the links of both; the cookie is above all that the directory has. */
int memfs_enter(struct memfs *fs, struct inode *dir, const char *name, struct inode *inode,
                uint64_t cookie)
{
    if (inode->attr.nlink >= UINT32_MAX / 2)
        return -EMLINK;
    int rc = memfs_charge(fs, MEMFS_COST);
    if (rc < 0)
        return rc;
    size_t length = strlen(name) + 1;
    struct entry *entry = new_place(dir) == 0 ? malloc(sizeof *entry + length) : NULL;
    if (entry == NULL) {
        memfs_refund(fs, MEMFS_COST);
        return -ENOMEM;
    }
    struct entry **bucket = &fs->names[name_bucket(fs, dir, name)];
    *entry = (struct entry){.next = *bucket, .dir = dir, .inode = inode, .cookie = cookie};
    memcpy(entry->name, name, length);
    *bucket = entry;
    dir->places[dir->place_count++] = (struct place){cookie, entry};
    dir->next_cookie = cookie + 1;
    dir->entry_count++;
    if (S_ISDIR(inode->attr.mode)) {
        inode->parent = dir;
        dir->attr.nlink++;
    } else {
        inode->attr.nlink++;
    }
    return 0;
}

/* The first place whose cookie is at least this. */
static size_t place_of(const struct inode *dir, uint64_t cookie)
{
    size_t low = 0, high = dir->place_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (dir->places[middle].cookie < cookie)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void compact(struct inode *dir)
{
    if (dir->place_count < 16 || dir->entry_count * 2 > dir->place_count)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < dir->place_count; i++)
        if (dir->places[i].entry != NULL)
            dir->places[kept++] = dir->places[i];
    dir->place_count = kept;
}

/* The name goes; what it named loses a link and may have none then. */
static struct inode *leave(struct memfs *fs, struct entry *entry)
{
    struct inode *dir = entry->dir, *inode = entry->inode;
    struct entry **link = &fs->names[name_bucket(fs, dir, entry->name)];
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    dir->places[place_of(dir, entry->cookie)].entry = NULL;
    dir->entry_count--;
    compact(dir);
    if (S_ISDIR(inode->attr.mode)) {
        inode->parent = NULL;
        dir->attr.nlink--;
        inode->attr.nlink = 0;
    } else {
        inode->attr.nlink--;
    }
    memfs_touch(inode, MEMFS_CTIME);
    memfs_touch(dir, MEMFS_MTIME | MEMFS_CTIME);
    memfs_refund(fs, MEMFS_COST);
    free(entry);
    return inode;
}

void memfs_dir_free(struct memfs *fs, struct inode *dir)
{
    for (size_t i = 0; i < dir->place_count; i++) {
        struct entry *entry = dir->places[i].entry;
        if (entry == NULL)
            continue;
        struct entry **link = &fs->names[name_bucket(fs, dir, entry->name)];
        while (*link != entry)
            link = &(*link)->next;
        *link = entry->next;
        memfs_refund(fs, MEMFS_COST);
        free(entry);
    }
    free(dir->places);
}

static struct inode *directory(struct memfs *fs, const struct node *node, int *error)
{
    struct inode *dir = memfs_inode(fs, node);
    *error = dir == NULL ? -ESTALE : !S_ISDIR(dir->attr.mode) ? -ENOTDIR : 0;
    /* one that was removed while it is somebody's working directory gets nothing new */
    if (*error == 0 && dir->attr.nlink == 0)
        *error = -ENOENT;
    return *error == 0 ? dir : NULL;
}

int memfs_lookup(struct provider *provider, struct node *node, const char *name,
                 struct found *found)
{
    struct memfs *fs = memfs_of(provider);
    int rc;
    pthread_mutex_lock(&fs->lock);
    const struct inode *dir = directory(fs, node, &rc);
    const struct entry *entry = dir != NULL ? memfs_entry(fs, dir, name) : NULL;
    if (entry != NULL)
        memfs_found(entry->inode, found);
    else if (rc == 0)
        rc = -ENOENT;
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

static int make_locked(struct memfs *fs, struct inode *dir, const char *name,
                       const struct make *make, struct inode **out)
{
    if (memfs_entry(fs, dir, name) != NULL)
        return -EEXIST;
    int rc;
    struct inode *inode = memfs_new(fs, fs->next_number, make->mode, &rc);
    if (inode == NULL)
        return rc;
    fs->next_number++;
    inode->attr.uid = make->uid;
    inode->attr.gid = dir->attr.mode & S_ISGID ? dir->attr.gid : make->gid;
    inode->attr.rdev = make->rdev;
    if (S_ISDIR(make->mode))
        inode->attr.mode |= dir->attr.mode & S_ISGID;
    if (S_ISLNK(make->mode)) {
        inode->attr.mode = S_IFLNK | 0777;
        inode->attr.size = strlen(make->target);
        rc = memfs_charge(fs, inode->attr.size);
        inode->target = rc == 0 ? strdup(make->target) : NULL;
        rc = rc == 0 && inode->target == NULL ? -ENOMEM : rc;
    }
    if (rc == 0)
        rc = memfs_enter(fs, dir, name, inode, dir->next_cookie);
    if (rc < 0) {
        memfs_free(fs, inode);
        return rc;
    }
    memfs_touch(dir, MEMFS_MTIME | MEMFS_CTIME);
    *out = inode;
    return 0;
}

int memfs_make(struct provider *provider, struct node *node, const char *name,
               const struct make *make, struct found *found)
{
    struct memfs *fs = memfs_of(provider);
    struct inode *inode = NULL;
    int rc;
    pthread_mutex_lock(&fs->lock);
    struct inode *dir = directory(fs, node, &rc);
    if (rc == 0)
        rc = make_locked(fs, dir, name, make, &inode);
    if (rc == 0)
        memfs_found(inode, found);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

int memfs_create(struct provider *provider, struct node *node, const char *name,
                 const struct make *make, struct handle *handle, struct found *found)
{
    struct memfs *fs = memfs_of(provider);
    struct inode *inode = NULL;
    int rc;
    pthread_mutex_lock(&fs->lock);
    struct inode *dir = directory(fs, node, &rc);
    const struct entry *entry = rc == 0 ? memfs_entry(fs, dir, name) : NULL;
    if (rc == 0 && entry == NULL) {
        rc = make_locked(fs, dir, name, make, &inode);
    } else if (rc == 0) {
        inode = entry->inode;
        rc = handle->flags & O_EXCL           ? -EEXIST
             : S_ISREG(inode->attr.mode) == 0 ? -EISDIR
             : handle->flags & O_TRUNC        ? memfs_resize(fs, inode, 0)
                                              : 0;
    }
    if (rc == 0)
        memfs_found(inode, found);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

int memfs_link(struct provider *provider, struct node *node, struct node *dir_node,
               const char *name, struct found *found)
{
    struct memfs *fs = memfs_of(provider);
    int rc;
    pthread_mutex_lock(&fs->lock);
    struct inode *inode = memfs_inode(fs, node), *dir = directory(fs, dir_node, &rc);
    if (rc == 0)
        rc = inode == NULL                        ? -ESTALE
             : S_ISDIR(inode->attr.mode)          ? -EPERM
             : inode->attr.nlink == 0             ? -ENOENT
             : memfs_entry(fs, dir, name) != NULL ? -EEXIST
                                                  : 0;
    if (rc == 0)
        rc = memfs_enter(fs, dir, name, inode, dir->next_cookie);
    if (rc == 0) {
        memfs_touch(inode, MEMFS_CTIME);
        memfs_touch(dir, MEMFS_MTIME | MEMFS_CTIME);
        memfs_found(inode, found);
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

/* Frees what lost its last name, unless the guest knows it. `number` 0: nothing. */
static void collect(struct memfs *fs, uint64_t number)
{
    struct vfs_key key = {.inode = number};
    if (number == 0 || nodes_known(fs->nodes, fs->index, &key))
        return; /* memfs_forget() does it */
    pthread_mutex_lock(&fs->lock);
    struct inode *inode = memfs_number(fs, number);
    if (inode != NULL && inode->attr.nlink == 0)
        memfs_free(fs, inode);
    pthread_mutex_unlock(&fs->lock);
}

static int may_remove(const struct inode *inode, bool directory)
{
    if (S_ISDIR(inode->attr.mode) != directory)
        return directory ? -ENOTDIR : -EISDIR;
    return directory && inode->entry_count > 0 ? -ENOTEMPTY : 0;
}

int memfs_remove(struct provider *provider, struct node *node, const char *name, bool is_dir)
{
    struct memfs *fs = memfs_of(provider);
    uint64_t number = 0;
    int rc;
    pthread_mutex_lock(&fs->lock);
    const struct inode *dir = directory(fs, node, &rc);
    struct entry *entry = rc == 0 ? memfs_entry(fs, dir, name) : NULL;
    if (rc == 0)
        rc = entry != NULL ? may_remove(entry->inode, is_dir) : -ENOENT;
    if (rc == 0)
        number = leave(fs, entry)->attr.ino;
    pthread_mutex_unlock(&fs->lock);
    collect(fs, number);
    return rc;
}

static bool is_above(const struct memfs *fs, const struct inode *above, const struct inode *dir)
{
    for (size_t steps = 0; dir != NULL && steps <= fs->inode_count; steps++, dir = dir->parent)
        if (dir == above)
            return true;
    return false;
}

static int may_rename(const struct memfs *fs, const struct entry *old, const struct entry *new,
                      const struct inode *from, const struct inode *to, uint32_t flags)
{
    if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    if (old == NULL || ((flags & RENAME_EXCHANGE) && new == NULL))
        return -ENOENT;
    if (new != NULL && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (S_ISDIR(old->inode->attr.mode) && is_above(fs, old->inode, to))
        return -EINVAL;
    if (new == NULL)
        return 0;
    if (flags & RENAME_EXCHANGE)
        return S_ISDIR(new->inode->attr.mode) && is_above(fs, new->inode, from) ? -EINVAL : 0;
    return may_remove(new->inode, S_ISDIR(old->inode->attr.mode));
}

static void move_parent(struct inode *inode, struct inode *from, struct inode *to)
{
    if (!S_ISDIR(inode->attr.mode))
        return;
    from->attr.nlink--;
    to->attr.nlink++;
    inode->parent = to;
}

static int rename_locked(struct memfs *fs, struct inode *from, const char *name, struct inode *to,
                         const char *new_name, uint32_t flags, uint64_t *lost)
{
    struct entry *old = memfs_entry(fs, from, name), *new = memfs_entry(fs, to, new_name);
    int rc = may_rename(fs, old, new, from, to, flags);
    if (rc < 0 || (new != NULL && old->inode == new->inode))
        return rc;
    struct inode *moved = old->inode;
    if (new != NULL &&
        (flags & RENAME_EXCHANGE) != 0) { /* without `new`, may_rename() refuses it */
        old->inode = new->inode;
        new->inode = moved;
        move_parent(moved, from, to);
        move_parent(old->inode, to, from);
        memfs_touch(old->inode, MEMFS_CTIME);
    } else {
        rc = memfs_enter(fs, to, new_name, moved, to->next_cookie);
        if (rc < 0)
            return rc;
        if (new != NULL)
            *lost = leave(fs, new)->attr.ino;
        uint32_t links = moved->attr.nlink;
        leave(fs, old);
        if (S_ISDIR(moved->attr.mode)) {
            moved->attr.nlink = links;
            moved->parent = to;
        }
    }
    memfs_touch(moved, MEMFS_CTIME);
    memfs_touch(from, MEMFS_MTIME | MEMFS_CTIME);
    memfs_touch(to, MEMFS_MTIME | MEMFS_CTIME);
    return 0;
}

int memfs_rename(struct provider *provider, struct node *from_node, const char *name,
                 struct node *to_node, const char *new_name, uint32_t flags)
{
    struct memfs *fs = memfs_of(provider);
    uint64_t lost = 0;
    int rc, to_rc;
    pthread_mutex_lock(&fs->lock);
    struct inode *from = directory(fs, from_node, &rc), *to = directory(fs, to_node, &to_rc);
    rc = rc < 0 ? rc : to_rc;
    if (rc == 0)
        rc = rename_locked(fs, from, name, to, new_name, flags, &lost);
    pthread_mutex_unlock(&fs->lock);
    collect(fs, lost);
    return rc;
}

int memfs_readdir(struct provider *provider, struct handle *handle, uint64_t offset,
                  provider_entry *emit, void *context)
{
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    const struct inode *dir = memfs_inode(fs, handle->node);
    bool room = dir != NULL;
    if (room && offset < 1)
        room = emit(context, ".", dir->attr.ino, S_IFDIR >> 12, 1);
    if (room && offset < 2)
        room = emit(context, "..", dir->parent != NULL ? dir->parent->attr.ino : dir->attr.ino,
                    S_IFDIR >> 12, 2);
    for (size_t at = room ? place_of(dir, offset + 1) : 0; room && at < dir->place_count; at++) {
        const struct entry *entry = dir->places[at].entry;
        if (entry != NULL)
            room = emit(context, entry->name, entry->inode->attr.ino, entry->inode->attr.mode >> 12,
                        entry->cookie);
    }
    pthread_mutex_unlock(&fs->lock);
    return dir != NULL ? 0 : -ESTALE;
}

uint64_t memfs_directory(struct provider *provider, const char *name, bool make)
{
    struct memfs *fs = memfs_of(provider);
    struct inode *inode = NULL;
    pthread_mutex_lock(&fs->lock);
    struct inode *root = memfs_number(fs, MEMFS_ROOT);
    const struct entry *entry = memfs_entry(fs, root, name);
    struct make what = {.mode = S_IFDIR | 0755};
    if (entry != NULL)
        inode = entry->inode;
    else if (make)
        make_locked(fs, root, name, &what, &inode);
    uint64_t number = inode != NULL ? inode->attr.ino : 0;
    pthread_mutex_unlock(&fs->lock);
    return number;
}

bool memfs_is_empty(struct provider *provider, uint64_t number)
{
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    const struct inode *dir = memfs_number(fs, number);
    bool empty = dir == NULL || dir->entry_count == 0;
    pthread_mutex_unlock(&fs->lock);
    return empty;
}
