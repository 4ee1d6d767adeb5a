/* vm/qcow2: what QEMU wrote merged, with qemu-img as the judge; and layers that QEMU never wrote.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"
#include "base/str.h"
#include "vm/disk.h"
#include "vm/qcow2.h"

#define K ((uint64_t)1 << 10)
#define M ((uint64_t)1 << 20)
#define G ((uint64_t)1 << 30)
#define C QCOW2_CLUSTER

static char directory[64];
static char *base; /* a raw image: 3 MiB + 512 bytes without a zero */

static char *file_in(const char *name)
{
    char *path = str_printf("%s/%s", directory, name);
    assert_non_null(path);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    static uint8_t bytes[3 * M + 512];
    snprintf(directory, sizeof directory, "/tmp/vmdeck-qcow2-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    base = file_in("base.raw");
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i % 255 + 1);
    return path_write(base, 0600, bytes, sizeof bytes, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    free(base);
    return path_remove(directory, NULL);
}

static int run(const char *const argv[])
{
    pid_t pid = process_spawn(&(struct process_spec){.argv = argv}, NULL);
    return pid > 0 ? WEXITSTATUS(process_wait(pid)) : -1;
}

struct layer {
    const char *size;     /* for qemu-img; NULL: no more layers */
    const char *steps[6]; /* qemu-io commands */
};

/* Chains, the lowest layer first. */
static const struct chain {
    const char *what;
    uint64_t size;     /* of the merged disk */
    uint64_t clusters; /* of data in it */
    struct layer layers[4];
} chains[] = {
    {"no layers", 1 * G, 0, {{0}}},
    {"an empty layer", 40 * G, 0, {{"40G", {0}}}},
    {"three empty layers", 40 * G, 0, {{"40G", {0}}, {"40G", {0}}, {"40G", {0}}}},
    {"a write across a cluster's end", 1 * G, 2, {{"1G", {"write -P 17 65000 2000"}}}},
    {"writes within one cluster",
     1 * G,
     1,
     {{"1G", {"write -P 17 512 512", "write -P 18 4096 512"}}}},
    {"the whole of 40 GiB",
     40 * G,
     4,
     {{"40G",
       {"write -P 1 0 64k", "write -P 2 20G 64k", "write -P 3 536805376 64k",
        "write -P 4 42949607424 64k"}}}},
    {"a last cluster that is not whole",
     4 * M + 1536,
     2,
     {{"4195840", {"write -P 9 4190208 5632"}}}},
    {"the last cluster is over the backing file's end",
     3 * M + 512,
     1,
     {{"3146240", {"write -P 9 3145728 512"}}}},
    {"zeros over data",
     8 * M,
     1,
     {{"8M",
       {"write -P 5 0 256k", "write -z 64k 64k", "discard 128k 64k", "write -P 0 192k 64k"}}}},
    {"zeros over nothing", 8 * M, 0, {{"8M", {"write -P 0 4M 256k", "write -z 5M 1M"}}}},
    {"zeros that keep their clusters",
     8 * M,
     0,
     {{"8M", {"write -P 5 0 256k", "write -z 0 256k"}}}},
    {"zeros over a layer's data, and data over those",
     8 * M,
     3,
     {{"8M", {"write -P 5 0 256k", "write -P 5 6M 128k"}},
      {"8M", {"write -z -u 0 128k", "discard 6M 64k"}},
      {"8M", {"write -P 7 64k 512", "write -P 0 128k 64k"}}}},
    {"three layers",
     1 * G,
     5,
     {{"1G", {"write -P 1 0 128k", "write -P 1 1M 64k", "write -P 1 700M 64k"}},
      {"1G", {"write -P 2 64k 64k", "write -P 2 700M 1k"}},
      {"1G", {"write -P 3 1M 1k", "write -P 3 900M 64k"}}}},
    {"a layer shorter than what is above and below",
     8 * M,
     2,
     {{"8M", {"write -P 1 0 64k", "write -P 1 2M 64k", "write -P 1 5M 64k"}},
      {"1M", {0}},
      {"8M", {"write -P 3 6M 64k"}}}},
    {"all layers shorter than the disk", 16 * M, 1, {{"2M", {"write -P 1 0 64k"}}}},
};

/* Makes the chain with QEMU's tools; paths[] gets it, top first. Returns how many. */
static size_t chain_make(const struct chain *chain, char *paths[4])
{
    size_t count = 0;
    while (count < 4 && chain->layers[count].size != NULL)
        count++;
    for (size_t i = 0; i < count; i++) {
        const struct layer *layer = &chain->layers[i];
        const char *below = i > 0 ? paths[count - i] : base;
        char name[16];
        snprintf(name, sizeof name, "layer%zu", i);
        char *path = paths[count - i - 1] = file_in(name);
        assert_int_equal(
            run((const char *const[]){"qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F",
                                      i > 0 ? "qcow2" : "raw", path, layer->size, NULL}),
            0);
        CLEAN_STRV struct strv argv = {0};
        strv_add(&argv, "qemu-io");
        strv_add(&argv, "-d");
        strv_add(&argv, "unmap");
        for (size_t j = 0; j < ARRAY_SIZE(layer->steps) && layer->steps[j] != NULL; j++) {
            strv_add(&argv, "-c");
            strv_add(&argv, layer->steps[j]);
        }
        strv_add(&argv, path);
        if (layer->steps[0] != NULL)
            assert_int_equal(run((const char *const *)argv.items), 0);
    }
    return count;
}

/* Merges into a new file and says how long it is; the hash has to be the file's. */
static int merge(const char *const paths[], size_t count, uint64_t size, const char *to,
                 uint64_t *length, struct error *err)
{
    char fed[HASH_HEX_SIZE], read[HASH_HEX_SIZE];
    struct stat st;
    CLEAN_FD int fd = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    struct hash *hash = hash_start();
    int rc = qcow2_merge(paths, count, base, size, fd, hash, NULL, length, err);
    hash_finish(hash, fed);
    if (rc < 0)
        return rc;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, *length);
    assert_int_equal(hash_fd(fd, NULL, read, err), 0);
    assert_string_equal(fed, read);
    return 0;
}

static void chain_test(const struct chain *chain)
{
    struct error err = {0};
    char *paths[4] = {NULL};
    uint64_t length = 0;
    size_t count = chain_make(chain, paths);
    CLEAN_FREE char *merged = file_in("merged.qcow2"), *expected = file_in("expected.qcow2");
    CLEAN_FREE char *size = str_printf("%llu", (unsigned long long)chain->size);
    if (merge((const char *const *)paths, count, chain->size, merged, &length, &err) < 0)
        fail_msg("%s: %s", chain->what, err.message);
    assert_int_equal(run((const char *const[]){"qemu-img", "create", "-q", "-f", "qcow2", "-b",
                                               count > 0 ? paths[0] : base, "-F",
                                               count > 0 ? "qcow2" : "raw", expected, size, NULL}),
                     0);
    if (run((const char *const[]){"qemu-img", "check", "-q", merged, NULL}) != 0)
        fail_msg("%s: qemu-img check", chain->what);
    if (run((const char *const[]){"qemu-img", "compare", "-q", expected, merged, NULL}) != 0)
        fail_msg("%s: not the same", chain->what);
    uint64_t tables = 0;
    uint8_t l1[8 * 80] = {0};
    CLEAN_FD int fd = open(merged, O_RDONLY | O_CLOEXEC);
    uint8_t wanted[8], found[8];
    qcow2_put(wanted, chain->size, 8);
    assert_int_equal(pread(fd, found, 8, 24), 8);
    assert_memory_equal(wanted, found, 8);
    assert_int_equal(pread(fd, l1, sizeof l1, 3 * C), sizeof l1);
    for (size_t i = 0; i < sizeof l1; i += 8)
        tables += l1[i] != 0; /* refcount one */
    if (length / C != 4 + tables + chain->clusters)
        fail_msg("%s: %llu clusters, %llu tables", chain->what, (unsigned long long)(length / C),
                 (unsigned long long)tables);
    for (size_t i = 0; i < 4; i++)
        free(paths[i]);
}

static void test_chains(void **state)
{
    (void)state;
    CLEAN_FREE char *img = process_find("qemu-img"), *io = process_find("qemu-io");
    if (img == NULL || io == NULL)
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
        chain_test(&chains[i]);
    /* the judge can say no */
    CLEAN_FREE char *merged = file_in("merged.qcow2");
    assert_int_not_equal(
        run((const char *const[]){"qemu-img", "compare", "-q", base, merged, NULL}), 0);
}

/* A layer by hand: what disk_create_overlay() makes, one L2 table, one cluster of data. */
enum { L1 = 3, L2 = 4, DATA = 5, CLUSTERS = 6 };

static char *layer_make(uint64_t size)
{
    struct error err = {0};
    uint8_t entry[8];
    char *path = file_in("hand.qcow2");
    unlink(path);
    assert_int_equal(disk_create_overlay(path, base, "raw", size, &err), 0);
    CLEAN_FD int fd = open(path, O_RDWR | O_CLOEXEC);
    qcow2_put(entry, (uint64_t)1 << 63 | L2 * C, 8);
    assert_int_equal(pwrite(fd, entry, 8, L1 * C), 8);
    qcow2_put(entry, (uint64_t)1 << 63 | DATA * C, 8);
    assert_int_equal(pwrite(fd, entry, 8, L2 * C), 8);
    assert_int_equal(pwrite(fd, "data", 4, DATA * C), 4);
    assert_int_equal(ftruncate(fd, CLUSTERS * C), 0);
    return path;
}

static const struct hostile {
    const char *what;
    uint64_t at;
    int bytes;
    uint64_t value;
    int rc;
} hostile[] = {
    {"nothing", 4, 4, 3, 0},
    {"magic", 0, 4, 0x51464900, -EBADMSG},
    {"version 2", 4, 4, 2, -ENOTSUP},
    {"2 MiB clusters", 20, 4, 21, -ENOTSUP},
    {"empty disk", 24, 8, 0, -EBADMSG},
    {"disk of 512 bytes less than 2^64", 24, 8, (uint64_t)-512, -EBADMSG},
    {"disk that ends within a sector", 24, 8, M + 1, -EBADMSG},
    {"encrypted", 32, 4, 2, -ENOTSUP},
    {"L1 of no entry", 36, 4, 0, -EBADMSG},
    {"L1 of 2^32 entries", 36, 4, UINT32_MAX, 0}, /* only what the size calls for is read */
    {"L1 at 0", 40, 8, 0, -EBADMSG},
    {"L1 at the end", 40, 8, CLUSTERS *C, -EBADMSG},
    {"L1 at 2^64 - 64K", 40, 8, (uint64_t)-C, -EBADMSG},
    {"L1 unaligned", 40, 8, 3 * C + 8, -EBADMSG},
    {"internal snapshots", 60, 4, 1, -ENOTSUP},
    {"dirty", 72, 8, 1, -EBADMSG},
    {"corrupt", 72, 8, 2, -EBADMSG},
    {"external data", 72, 8, 4, -ENOTSUP},
    {"extended L2", 72, 8, 16, -ENOTSUP},
    {"unknown feature", 72, 8, (uint64_t)1 << 63, -ENOTSUP},
    {"refcounts of 64 bits", 96, 4, 6, -ENOTSUP},
    {"L2 is the header", L1 *C, 8, 512, -EBADMSG},
    {"L2 is the L1", L1 *C, 8, L1 *C, -EBADMSG},
    {"L2 beyond the end", L1 *C, 8, 60 * C, -EBADMSG},
    {"L2 unaligned", L1 *C, 8, L2 *C + 512, -EBADMSG},
    {"L2 reserved bits", L1 *C, 8, L2 *C + 1, -EBADMSG},
    {"L2 shared", L1 *C + 8, 8, L2 *C, -EBADMSG},
    {"data is the L2", L2 *C, 8, L2 *C, -EBADMSG},
    {"data beyond the end", L2 *C, 8, CLUSTERS *C, -EBADMSG},
    {"data at 2^56 - 64K", L2 *C, 8, ((uint64_t)1 << 56) - C, -EBADMSG},
    {"data unaligned", L2 *C, 8, DATA *C + 512, -EBADMSG},
    {"data shared", L2 *C + 8, 8, DATA *C, -EBADMSG},
    {"zeros beyond the end", L2 *C, 8, CLUSTERS *C + 1, -EBADMSG},
    {"zeros that keep a cluster", L2 *C, 8, DATA *C + 1, 0},
    {"compressed", L2 *C, 8, (uint64_t)1 << 62 | DATA * C, -ENOTSUP},
    {"reserved bits", L2 *C, 8, DATA *C + 2, -EBADMSG},
};

static void test_hostile(void **state)
{
    (void)state;
    CLEAN_FREE char *to = file_in("merged.qcow2");
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        struct error err = {0};
        uint8_t value[8];
        uint64_t length = 0;
        CLEAN_FREE char *path = layer_make(1 * G);
        CLEAN_FD int fd = open(path, O_RDWR | O_CLOEXEC);
        qcow2_put(value, hostile[i].value, hostile[i].bytes);
        assert_int_equal(pwrite(fd, value, (size_t)hostile[i].bytes, (off_t)hostile[i].at),
                         hostile[i].bytes);
        const char *const paths[] = {path};
        int rc = merge(paths, 1, 1 * G, to, &length, &err);
        if (rc != hostile[i].rc || (rc < 0) != (err.message[0] != '\0'))
            fail_msg("%s: %d: %s", hostile[i].what, rc, err.message);
    }
}

/* A file that ends before its data does is refused; QEMU need not write the last cluster whole. */
static void test_cut(void **state)
{
    (void)state;
    static const uint64_t cuts[] = {0,      3,          103,    104,        C,
                                    L1 * C, L1 * C + 4, L2 * C, L2 * C + 8, DATA * C};
    CLEAN_FREE char *to = file_in("merged.qcow2");
    for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
        struct error err = {0};
        uint64_t length = 0;
        CLEAN_FREE char *path = layer_make(1 * G);
        assert_int_equal(truncate(path, (off_t)cuts[i]), 0);
        const char *const paths[] = {path};
        if (merge(paths, 1, 1 * G, to, &length, &err) != -EBADMSG)
            fail_msg("cut at %llu: %s", (unsigned long long)cuts[i], err.message);
    }
    struct error err = {0};
    uint64_t length = 0;
    CLEAN_FREE char *path = layer_make(1 * G);
    assert_int_equal(truncate(path, DATA * C + 3), 0);
    const char *const paths[] = {path};
    assert_int_equal(merge(paths, 1, 1 * G, to, &length, &err), 0);
    assert_int_equal(length, CLUSTERS * C);
}

static void test_arguments(void **state)
{
    (void)state;
    struct error err = {0};
    uint64_t length = 0;
    volatile int cancel = 1;
    CLEAN_FREE char *path = layer_make(1 * G), *to = file_in("merged.qcow2");
    const char *paths[QCOW2_LAYERS_MAX + 1] = {path, path};
    CLEAN_FD int fd = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CLEAN_FD int read_only = open(to, O_RDONLY | O_CLOEXEC);
    static const uint64_t sizes[] = {0, QCOW2_SIZE_MAX + 512, UINT64_MAX, M + 1};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        assert_int_equal(qcow2_merge(paths, 1, base, sizes[i], fd, NULL, NULL, &length, &err),
                         -EINVAL);
    assert_int_equal(
        qcow2_merge(paths, QCOW2_LAYERS_MAX + 1, base, G, fd, NULL, NULL, &length, &err), -EINVAL);
    assert_int_equal(qcow2_merge(paths, 1, base, G, fd, NULL, &cancel, &length, &err), -ECANCELED);
    assert_int_equal(qcow2_merge(paths, 1, base, G, read_only, NULL, NULL, &length, &err), -EBADF);
    assert_int_equal(qcow2_merge(paths, 1, "/nonexistent/x", G, fd, NULL, NULL, &length, &err),
                     -ENOENT);
    assert_non_null(strstr(err.message, "/nonexistent/x"));
    assert_int_equal(qcow2_merge(paths, 1, base, G, fd, NULL, NULL, &length, NULL), 0);
    /* a layer that ends within a cluster: by itself, but not below something larger */
    CLEAN_FD int layer = open(path, O_RDWR | O_CLOEXEC);
    uint8_t size[8];
    qcow2_put(size, M + 512, 8);
    assert_int_equal(pwrite(layer, size, 8, 24), 8);
    assert_int_equal(qcow2_merge(paths, 1, base, M + 512, fd, NULL, NULL, &length, &err), 0);
    assert_int_equal(qcow2_merge(paths, 1, base, G, fd, NULL, NULL, &length, &err), -ENOTSUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
