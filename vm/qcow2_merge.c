/*
 * Three steps. First a map: for each L2 table of the result, where each of its clusters comes
 * from. Second the layout, which follows from the map's counts alone:
 *
 *     header | refcount table | refcount blocks | L1 | L2 tables | data
 *
 * Third the writing, front to back in blocks of 1 MiB, so that a hash can go along. Data that is
 * all zeros has to be found in the first step (the tables come first in the file); usually the
 * first 4 KiB of a cluster tell, so this reads little, and warms the cache for the third step.
 * Clusters are copied whole, also beyond the end of the disk within the last one.
 */
#include "vm/qcow2.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define BLOCK          ((size_t)1 << 20)
#define PROBE          4096
#define COPIED         ((uint64_t)1 << 63)     /* refcount is one: the cluster may be written to */
#define BLOCK_REFERS   (QCOW2_CLUSTER / 2)     /* clusters counted by one refcount block */
#define ENTRY_LAYER(e) ((size_t)(e) % 0x10000) /* shifted by one: bit 0 is QCOW2_ZERO */

/* An entry of the map: 0, QCOW2_ZERO, or the cluster's offset in its layer + 2 * the layer. */
struct merge {
    struct qcow2 *layers;
    size_t count;
    uint64_t size;
    uint64_t backing_size;
    uint64_t **tables; /* NULL: nothing in it */
    size_t table_count;
    uint64_t used_tables, data_clusters;
    const volatile int *cancel;

    int fd;
    uint64_t at; /* bytes of the result that are written */
    struct hash *hash;
    uint8_t *block; /* what comes next */
    size_t filled;
};

static void cleanup_merge(struct merge *merge)
{
    for (size_t i = 0; merge->layers != NULL && i < merge->count; i++)
        qcow2_close(&merge->layers[i]);
    free(merge->layers);
    for (size_t i = 0; merge->tables != NULL && i < merge->table_count; i++)
        free(merge->tables[i]);
    free(merge->tables);
    free(merge->block);
}

static int merge_cancelled(const struct merge *merge, struct error *err)
{
    return merge->cancel != NULL && *merge->cancel != 0 ? error_set(err, ECANCELED, "cancelled")
                                                        : 0;
}

static bool all_zero(const uint8_t *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

static int entry_load(const struct merge *merge, uint64_t entry, size_t from, void *data,
                      size_t size, struct error *err)
{
    const struct qcow2 *layer = &merge->layers[ENTRY_LAYER(entry) / 2];
    return qcow2_read(layer, entry - ENTRY_LAYER(entry) + from, data, size, err);
}

/* A data cluster that holds zeros becomes a zero cluster, one with nothing behind it nothing. */
static int entry_settle(struct merge *merge, uint64_t *entry, uint64_t guest, struct error *err)
{
    uint8_t *data = merge->block;
    if (*entry != 0 && *entry != QCOW2_ZERO) {
        int rc = entry_load(merge, *entry, 0, data, PROBE, err);
        if (rc == 0 && all_zero(data, PROBE)) {
            rc = entry_load(merge, *entry, PROBE, data, QCOW2_CLUSTER - PROBE, err);
            if (rc == 0 && all_zero(data, QCOW2_CLUSTER - PROBE))
                *entry = QCOW2_ZERO;
        }
        if (rc < 0)
            return rc;
    }
    if (*entry == QCOW2_ZERO && guest >= merge->backing_size)
        *entry = 0;
    if (*entry != 0 && *entry != QCOW2_ZERO)
        merge->data_clusters++;
    return 0;
}

/* Puts a layer below what the table has so far. */
static int table_add(struct merge *merge, size_t index, size_t number, uint64_t *table,
                     struct error *err)
{
    uint64_t entries[QCOW2_ENTRIES];
    struct qcow2 *layer = &merge->layers[number];
    int rc = qcow2_table(layer, index, entries, err);
    uint64_t guest = index * QCOW2_L2_COVERS;
    for (size_t i = 0; i < QCOW2_ENTRIES && rc == 0; i++, guest += QCOW2_CLUSTER) {
        if (table[i] != 0)
            continue;
        if (guest >= layer->size || entries[i] == QCOW2_ZERO)
            table[i] = QCOW2_ZERO;
        else if (entries[i] != 0)
            table[i] = entries[i] + 2 * number;
    }
    return rc;
}

static int table_make(struct merge *merge, size_t index, struct error *err)
{
    CLEAN_FREE uint64_t *table = calloc(QCOW2_ENTRIES, sizeof *table);
    if (table == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = merge_cancelled(merge, err);
    for (size_t i = 0; i < merge->count && rc == 0; i++)
        rc = table_add(merge, index, i, table, err);
    bool used = false;
    uint64_t guest = index * QCOW2_L2_COVERS;
    for (size_t i = 0; i < QCOW2_ENTRIES && rc == 0; i++, guest += QCOW2_CLUSTER) {
        if (guest >= merge->size)
            table[i] = 0;
        rc = entry_settle(merge, &table[i], guest, err);
        used = used || table[i] != 0;
    }
    if (rc == 0 && used) {
        merge->used_tables++;
        merge->tables[index] = take_ptr(table);
    }
    return rc;
}

static int out_flush(struct merge *merge, struct error *err)
{
    int rc = merge_cancelled(merge, err);
    for (size_t done = 0; rc == 0 && done < merge->filled;) {
        ssize_t put =
            pwrite(merge->fd, merge->block + done, merge->filled - done, (off_t)(merge->at + done));
        if (put > 0)
            done += (size_t)put;
        else if (put == 0 || errno != EINTR)
            rc = error_system(err, put == 0 ? EIO : errno, "cannot write the merged disk");
    }
    if (rc == 0 && merge->hash != NULL)
        hash_add(merge->hash, merge->block, merge->filled);
    merge->at += merge->filled;
    merge->filled = 0;
    return rc;
}

/* Room for one more cluster, zeroed; what is before it is written when the block is full. */
static int out_cluster(struct merge *merge, uint8_t **cluster, struct error *err)
{
    int rc = merge->filled == BLOCK ? out_flush(merge, err) : 0;
    *cluster = merge->block + merge->filled;
    memset(*cluster, 0, QCOW2_CLUSTER);
    merge->filled += QCOW2_CLUSTER;
    return rc;
}

/* Where the parts begin, in clusters. */
struct layout {
    uint64_t refcount_table, refcount_blocks, l1, l2, data, end;
};

static struct layout merge_layout(const struct merge *merge)
{
    struct layout at = {.refcount_table = 1, .refcount_blocks = 2};
    uint64_t blocks = 0;
    do { /* the blocks count themselves too */
        blocks++;
        at.l1 = at.refcount_blocks + blocks;
        at.l2 = at.l1 + 1;
        at.data = at.l2 + merge->used_tables;
        at.end = at.data + merge->data_clusters;
    } while (at.end > blocks * BLOCK_REFERS);
    return at;
}

static int out_refcounts(struct merge *merge, const struct layout *at, struct error *err)
{
    uint8_t *table;
    int rc = out_cluster(merge, &table, err);
    if (rc < 0)
        return rc;
    uint64_t blocks = at->l1 - at->refcount_blocks, left = at->end;
    for (uint64_t i = 0; i < blocks; i++)
        qcow2_put(table + i * 8, (at->refcount_blocks + i) * QCOW2_CLUSTER, 8);
    for (uint64_t i = 0; i < blocks; i++) {
        uint8_t *block;
        rc = out_cluster(merge, &block, err);
        if (rc < 0)
            return rc;
        for (uint64_t j = 0; j < BLOCK_REFERS && left > 0; j++, left--)
            block[j * 2 + 1] = 1;
    }
    return 0;
}

static int out_tables(struct merge *merge, const struct layout *at, struct error *err)
{
    uint64_t l2 = at->l2, data = at->data;
    uint8_t *l1;
    int rc = out_cluster(merge, &l1, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < merge->table_count; i++)
        if (merge->tables[i] != NULL)
            qcow2_put(l1 + i * 8, COPIED | l2++ * QCOW2_CLUSTER, 8);
    for (size_t i = 0; i < merge->table_count; i++) {
        const uint64_t *table = merge->tables[i];
        if (table == NULL)
            continue;
        uint8_t *out;
        rc = out_cluster(merge, &out, err);
        if (rc < 0)
            return rc;
        for (size_t j = 0; j < QCOW2_ENTRIES; j++)
            if (table[j] != 0)
                qcow2_put(out + j * 8,
                          table[j] == QCOW2_ZERO ? QCOW2_ZERO : COPIED | data++ * QCOW2_CLUSTER, 8);
    }
    return 0;
}

static int out_data(struct merge *merge, struct error *err)
{
    for (size_t i = 0; i < merge->table_count; i++) {
        const uint64_t *table = merge->tables[i];
        for (size_t j = 0; table != NULL && j < QCOW2_ENTRIES; j++) {
            if (table[j] == 0 || table[j] == QCOW2_ZERO)
                continue;
            uint8_t *out;
            int rc = out_cluster(merge, &out, err);
            if (rc == 0)
                rc = entry_load(merge, table[j], 0, out, QCOW2_CLUSTER, err);
            if (rc < 0)
                return rc;
        }
    }
    return out_flush(merge, err);
}

static int merge_write(struct merge *merge, const char *backing, struct error *err)
{
    const struct layout at = merge_layout(merge);
    const struct qcow2_header header = {
        .backing = backing,
        .format = "raw",
        .size = merge->size,
        .l1 = at.l1 * QCOW2_CLUSTER,
        .refcounts = at.refcount_table * QCOW2_CLUSTER,
    };
    merge->filled = 0;
    uint8_t *out;
    int rc = out_cluster(merge, &out, err);
    if (rc == 0)
        rc = qcow2_header(out, &header, err);
    if (rc == 0)
        rc = out_refcounts(merge, &at, err);
    if (rc == 0)
        rc = out_tables(merge, &at, err);
    if (rc == 0)
        rc = out_data(merge, err);
    return rc;
}

/* A layer that ends within a cluster would need its rest cleared if something larger shows it. */
static int merge_open(struct merge *merge, const char *const paths[], size_t count,
                      struct error *err)
{
    uint64_t shown = merge->size;
    for (size_t i = 0; i < count; i++) {
        struct qcow2 *layer = &merge->layers[merge->count++];
        int rc = qcow2_open(layer, paths[i], err);
        if (rc < 0)
            return rc;
        if (layer->size < shown && layer->size % QCOW2_CLUSTER != 0)
            return error_set(err, ENOTSUP, "%s: ends within a cluster, below a larger disk",
                             paths[i]);
        shown = layer->size < shown ? layer->size : shown;
    }
    return 0;
}

int qcow2_merge(const char *const layers[], size_t count, const char *backing, uint64_t size,
                int out_fd, struct hash *hash, const volatile int *cancel, uint64_t *length,
                struct error *err)
{
    struct stat st;
    if (count > QCOW2_LAYERS_MAX || size == 0 || size > QCOW2_SIZE_MAX)
        return error_set(err, EINVAL, "cannot merge %zu layers of a disk of %llu bytes", count,
                         (unsigned long long)size);
    if (stat(backing, &st) < 0)
        return error_system(err, errno, "the disk's image is not there: %s", backing);
    __attribute__((cleanup(cleanup_merge))) struct merge merge = {
        .layers = calloc(count + 1, sizeof *merge.layers),
        .size = size,
        .backing_size = (uint64_t)st.st_size,
        .cancel = cancel,
        .fd = out_fd,
        .hash = hash,
        .block = malloc(BLOCK),
        .table_count = (size_t)((size + QCOW2_L2_COVERS - 1) / QCOW2_L2_COVERS),
    };
    merge.tables = calloc(merge.table_count, sizeof *merge.tables);
    if (merge.layers == NULL || merge.block == NULL || merge.tables == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = merge_open(&merge, layers, count, err);
    for (size_t i = 0; i < merge.table_count && rc == 0; i++)
        rc = table_make(&merge, i, err);
    if (rc == 0)
        rc = merge_write(&merge, backing, err);
    *length = merge.at;
    return rc;
}
