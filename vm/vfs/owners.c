/*
 * Open addressing with linear probing; removal shifts the entries behind it back, so there are no
 * marks of deleted ones. Nearly always empty, which owners_get() sees without taking the lock.
 */
#include "vm/vfs/owners.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "vm/vfs/savefile.h"

struct entry {
    struct vfs_key key;
    struct owner owner; /* valid 0: free */
};

struct owners {
    pthread_mutex_t lock;
    struct entry *entries;
    size_t capacity;
    atomic_size_t count;
};

struct owners *owners_open(void)
{
    struct owners *owners = calloc(1, sizeof *owners);
    if (owners != NULL)
        pthread_mutex_init(&owners->lock, NULL);
    return owners;
}

void owners_close(struct owners *owners)
{
    if (owners == NULL)
        return;
    pthread_mutex_destroy(&owners->lock);
    free(owners->entries);
    free(owners);
}

/* The key's entry, or the free one where it belongs. */
static struct entry *find(const struct owners *owners, const struct vfs_key *key)
{
    size_t at = key_hash(key) & (owners->capacity - 1);
    while (owners->entries[at].owner.valid != 0 && !key_equal(&owners->entries[at].key, key))
        at = (at + 1) & (owners->capacity - 1);
    return &owners->entries[at];
}

struct owner owners_get(struct owners *owners, const struct vfs_key *key)
{
    struct owner owner = {0};
    if (atomic_load(&owners->count) == 0)
        return owner;
    pthread_mutex_lock(&owners->lock);
    if (owners->count > 0)
        owner = find(owners, key)->owner;
    pthread_mutex_unlock(&owners->lock);
    return owner;
}

static int grow(struct owners *owners)
{
    if ((owners->count + 1) * 2 <= owners->capacity)
        return 0;
    struct owners bigger = {.capacity = owners->capacity != 0 ? owners->capacity * 2 : 64};
    bigger.entries = calloc(bigger.capacity, sizeof *bigger.entries);
    if (bigger.entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < owners->capacity; i++)
        if (owners->entries[i].owner.valid != 0)
            *find(&bigger, &owners->entries[i].key) = owners->entries[i];
    free(owners->entries);
    owners->entries = bigger.entries;
    owners->capacity = bigger.capacity;
    return 0;
}

static int set(struct owners *owners, const struct vfs_key *key, struct owner change)
{
    int rc = grow(owners);
    if (rc < 0)
        return rc;
    struct entry *entry = find(owners, key);
    if (entry->owner.valid == 0) {
        if (owners->count >= OWNERS_MAX)
            return -EPERM;
        owners->count++;
        entry->key = *key;
    }
    if (change.valid & OWNER_UID)
        entry->owner.uid = change.uid;
    if (change.valid & OWNER_GID)
        entry->owner.gid = change.gid;
    if (change.valid & OWNER_BITS)
        entry->owner.bits = change.bits;
    entry->owner.valid |= change.valid;
    return 0;
}

int owners_set(struct owners *owners, const struct vfs_key *key, struct owner change)
{
    if (change.valid == 0)
        return 0;
    pthread_mutex_lock(&owners->lock);
    int rc = set(owners, key, change);
    pthread_mutex_unlock(&owners->lock);
    return rc;
}

void owners_forget(struct owners *owners, const struct vfs_key *key)
{
    if (atomic_load(&owners->count) == 0)
        return;
    pthread_mutex_lock(&owners->lock);
    struct entry *entry = owners->count > 0 ? find(owners, key) : NULL;
    if (entry != NULL && entry->owner.valid != 0) {
        size_t mask = owners->capacity - 1, hole = (size_t)(entry - owners->entries);
        for (size_t at = (hole + 1) & mask; owners->entries[at].owner.valid != 0;
             at = (at + 1) & mask) {
            size_t home = key_hash(&owners->entries[at].key) & mask;
            if (((at - home) & mask) >= ((at - hole) & mask)) {
                owners->entries[hole] = owners->entries[at];
                hole = at;
            }
        }
        owners->entries[hole].owner = (struct owner){0};
        owners->count--;
    }
    pthread_mutex_unlock(&owners->lock);
}

int owners_save(struct owners *owners, FILE *out)
{
    int rc = save_u64(out, owners->count);
    for (size_t i = 0; rc == 0 && i < owners->capacity; i++) {
        const struct entry *entry = &owners->entries[i];
        if (entry->owner.valid != 0)
            rc = save_key(out, &entry->key) |
                 save_u64(out, (uint64_t)entry->owner.uid << 32 | entry->owner.gid) |
                 save_u64(out, (uint64_t)entry->owner.bits << 16 | entry->owner.valid);
    }
    return rc;
}

int owners_load(struct owners *owners, FILE *in)
{
    uint64_t count, ids, bits;
    int rc = load_u64(in, &count, OWNERS_MAX);
    for (; rc == 0 && count > 0; count--) {
        struct vfs_key key;
        rc = load_key(in, &key) | load_u64(in, &ids, UINT64_MAX) | load_u64(in, &bits, UINT32_MAX);
        struct owner owner = {.uid = (uint32_t)(ids >> 32),
                              .gid = (uint32_t)ids,
                              .bits = (uint16_t)(bits >> 16) & 06000,
                              .valid = (uint16_t)bits & (OWNER_UID | OWNER_GID | OWNER_BITS)};
        if (rc == 0)
            rc = owners_set(owners, &key, owner);
    }
    return rc < 0 ? -EPROTO : 0;
}
