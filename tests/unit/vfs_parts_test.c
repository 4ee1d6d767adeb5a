/* Parts of the file systems that need no kernel: ids, nodes, shadow rules, memory, owners. */
#include "unit.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/vfs/memfs.h"
#include "vm/vfs/owners.h"
#include "vm/vfs/savefile.h"
#include "vm/vfs/shadow.h"

static void test_slots(void **state)
{
    (void)state;
    int things[4];
    struct slots slots = {.max = 3};
    uint64_t one = slots_add(&slots, &things[0]), two = slots_add(&slots, &things[1]);
    assert_int_equal(one, 1);
    assert_int_not_equal(slots_add(&slots, &things[2]), 0);
    assert_int_equal(slots_add(&slots, &things[3]), 0);
    assert_ptr_equal(slots_get(&slots, two), &things[1]);
    slots_remove(&slots, two);
    assert_null(slots_get(&slots, two));
    uint64_t again = slots_add(&slots, &things[3]);
    assert_int_not_equal(again, two);
    assert_null(slots_get(&slots, two));
    assert_ptr_equal(slots_get(&slots, again), &things[3]);
    static const uint64_t none[] = {0, 4, 1ull << 32, UINT64_MAX, 99};
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        assert_null(slots_get(&slots, none[i]));
    slots_free(&slots);
    assert_int_equal(slots_restore(&slots, 7ull << 32 | 3, &things[0]), 0);
    assert_int_equal(slots_restore(&slots, 2, &things[0]), -EINVAL);
    assert_int_equal(slots_restore(&slots, 4, &things[0]), -EINVAL);
    assert_int_equal(slots_add(&slots, &things[1]), 2);
    slots_free(&slots);
}

static void on_gone(void *context, struct node *node)
{
    (void)node;
    ++*(int *)context;
}

static struct found file(uint64_t inode, uint32_t mode)
{
    return (struct found){.attr = {.mode = mode, .nlink = 1}, .key.inode = inode, .stamp = 1};
}

static struct node *enter(struct nodes *nodes, struct node *dir, const char *name, uint64_t inode,
                          uint32_t mode)
{
    struct found found = file(inode, mode);
    struct node *node;
    assert_int_equal(nodes_enter(nodes, dir, name, 0, &found, 1, &node), 0);
    return node;
}

static void test_nodes(void **state)
{
    (void)state;
    struct nodes nodes;
    int gone = 0;
    char path[64];
    assert_int_equal(nodes_open(&nodes, on_gone, &gone), 0);
    struct node *root = nodes_get(&nodes, FUSE_ROOT_ID);
    struct node *dir = enter(&nodes, root, "dir", 10, S_IFDIR);
    struct node *inner = enter(&nodes, dir, "inner", 11, S_IFREG);
    assert_int_equal(nodes_path(&nodes, inner, path, sizeof path), 0);
    assert_string_equal(path, "dir/inner");
    assert_int_equal(nodes_path(&nodes, inner, path, 9), -ENAMETOOLONG);
    /* the same file under another name is the same node */
    assert_ptr_equal(enter(&nodes, root, "hard", 11, S_IFREG), inner);
    assert_int_equal(nodes_path(&nodes, inner, path, sizeof path), 0);
    assert_string_equal(path, "hard");
    nodes_rename(&nodes, root, "hard", dir, "back", false);
    assert_int_equal(nodes_path(&nodes, inner, path, sizeof path), 0);
    assert_string_equal(path, "dir/back");
    /* a directory that seems to be below itself keeps its place */
    assert_ptr_equal(enter(&nodes, dir, "ring", 10, S_IFDIR), dir);
    assert_int_equal(nodes_path(&nodes, inner, path, sizeof path), 0);
    assert_string_equal(path, "dir/back");
    nodes_unname(&nodes, dir, "back");
    assert_int_equal(nodes_path(&nodes, inner, path, sizeof path), -ESTALE);
    uint64_t id = inner->id;
    node_put(&nodes, inner);
    node_put(&nodes, inner);
    assert_int_equal(gone, 0);
    nodes_forget(&nodes, id, 1);
    nodes_forget(&nodes, id, 100);
    assert_int_equal(gone, 1);
    assert_null(nodes_get(&nodes, id));
    node_put(&nodes, dir);
    node_put(&nodes, dir);
    node_put(&nodes, root);
    nodes_close(&nodes);
}

/* 100,000 looked-up files: under 200 bytes each, and given back. */
static void test_node_memory(void **state)
{
    (void)state;
    struct nodes nodes;
    int gone = 0;
    enum { COUNT = 100000 };
    assert_int_equal(nodes_open(&nodes, on_gone, &gone), 0);
    struct node *root = nodes_get(&nodes, FUSE_ROOT_ID);
    size_t before = mallinfo2().uordblks;
    for (uint64_t i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "file-number-%06u.c", (unsigned)i);
        node_put(&nodes, enter(&nodes, root, name, i + 1, S_IFREG));
    }
    size_t each = (mallinfo2().uordblks - before) / COUNT;
    print_message("%zu bytes a node\n", each);
    assert_true(each < 200);
    for (uint64_t i = 0; i < COUNT; i++)
        nodes_forget(&nodes, i + 2, 1);
    assert_int_equal(gone, COUNT);
    assert_int_equal(nodes.count, 1);
    node_put(&nodes, root);
    nodes_close(&nodes);
}

static void test_shadow_match(void **state)
{
    (void)state;
    static const char *const patterns[] = {"/w/.env",       "/w/*/key?", ".git",
                                           "/p/**/x=tmpfs", "/c=tmpfs",  "[ab].txt"};
    static const struct {
        const char *path;
        enum shadow kind;
    } rows[] = {
        {"/w/.env", SHADOW_HIDDEN},
        {"/w/.env/below/it", SHADOW_HIDDEN},
        {"/w/.envrc", SHADOW_NONE},
        {"/w/a/.env", SHADOW_NONE},
        {"/w/a/key1", SHADOW_HIDDEN},
        {"/w/a/b/key1", SHADOW_NONE},
        {"/w/a/key", SHADOW_NONE},
        {"/.git", SHADOW_HIDDEN},
        {"/x/y/.git/c", SHADOW_HIDDEN},
        {"/x/.gitignore", SHADOW_NONE},
        {"/p/x", SHADOW_PRIVATE},
        {"/p/q/r/x/y", SHADOW_PRIVATE},
        {"/p", SHADOW_NONE},
        {"/c", SHADOW_PRIVATE},
        {"/c/.git", SHADOW_HIDDEN},
        {"/q/b.txt", SHADOW_HIDDEN},
        {"/q/c.txt", SHADOW_NONE},
        {"/", SHADOW_NONE},
    };
    struct shadows *shadows;
    assert_int_equal(shadows_open(&shadows, patterns, ARRAY_SIZE(patterns), NULL), 0);
    assert_true(shadows_hook(shadows).redirects);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (shadows_match(shadows, rows[i].path) != rows[i].kind)
            fail_msg("%s", rows[i].path);
    static const struct {
        const char *from, *to;
        bool may;
    } moves[] = {
        {"/w/a", "/w/b", true}, {"/w/a", "/z", false},    {"/w", "/v", false},
        {"/z", "/w/a", true},   {"/q/r", "/q/s", true},   {"/p/q", "/p/r/s", true},
        {"/p/q", "/q", false},  {"/w/a/b", "/w/c", true}, {"/c", "/d", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(moves); i++)
        if (shadows_may_move(shadows, moves[i].from, moves[i].to) != moves[i].may)
            fail_msg("%s to %s", moves[i].from, moves[i].to);
    shadows_close(shadows);
}

static void test_shadow_refused(void **state)
{
    (void)state;
    char deep[141], many[5000];
    for (size_t i = 0; i < 140; i += 2)
        memcpy(deep + i, "/a", 3);
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    const char *const bad[] = {"", "/", "=tmpfs", "/a/../b", "./a", deep, many};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct shadows *shadows;
        struct error err = {0};
        assert_true(shadows_open(&shadows, &bad[i], 1, &err) < 0);
        assert_null(shadows);
        assert_true(err.message[0] != '\0');
    }
    struct shadows *none;
    assert_int_equal(shadows_open(&none, NULL, 0, NULL), 0);
    assert_null(none);
}

static void test_owners(void **state)
{
    (void)state;
    struct owners *owners = owners_open();
    for (uint64_t i = 1; i <= 1000; i++) {
        struct vfs_key key = {.inode = i};
        struct owner owner = {.uid = (uint32_t)i, .valid = OWNER_UID};
        assert_int_equal(owners_set(owners, &key, owner), 0);
    }
    for (uint64_t i = 1; i <= 1000; i += 3)
        owners_forget(owners, &(struct vfs_key){.inode = i});
    FILE *file = tmpfile();
    assert_int_equal(owners_save(owners, file), 0);
    rewind(file);
    struct owners *loaded = owners_open();
    assert_int_equal(owners_load(loaded, file), 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        struct vfs_key key = {.inode = i};
        struct owner a = owners_get(owners, &key), b = owners_get(loaded, &key);
        assert_int_equal(a.valid, i % 3 == 1 ? 0 : OWNER_UID);
        assert_int_equal(a.valid ? a.uid : 0, i % 3 == 1 ? 0 : i);
        assert_memory_equal(&a, &b, sizeof a);
    }
    rewind(file);
    save_u64(file, UINT64_MAX);
    rewind(file);
    assert_int_equal(owners_load(loaded, file), -EPROTO);
    fclose(file);
    owners_close(owners);
    owners_close(loaded);
}

static void test_memory_bound(void **state)
{
    (void)state;
    struct nodes nodes;
    struct provider *fs = NULL;
    int gone = 0;
    char name[32];
    assert_int_equal(nodes_open(&nodes, on_gone, &gone), 0);
    assert_int_equal(memfs_open(&fs, &nodes, 0, 100000, 0, 0, NULL), 0);
    struct node root = {.id = FUSE_ROOT_ID};
    struct make make = {.mode = S_IFREG | 0600};
    struct found found = {0};
    int made = 0, rc = 0;
    for (; rc == 0 && made < 1000; made += rc == 0) {
        snprintf(name, sizeof name, "f%d", made);
        rc = fs->ops->make(fs, &root, name, &make, &found);
    }
    assert_int_equal(rc, -ENOSPC);
    for (int i = 0; i < made; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(fs->ops->remove(fs, &root, name, false), 0);
    }
    assert_int_equal(fs->ops->make(fs, &root, "f", &make, &found), 0);
    struct node node = {.id = 2, .key = found.key};
    struct handle handle = {.node = &node};
    assert_int_equal(fs->ops->write(fs, &handle, "x", 1, MEMFS_FILE_MAX, 0), -EFBIG);
    assert_int_equal(fs->ops->write(fs, &handle, "x", 1, MEMFS_FILE_MAX - 1, 0), -ENOSPC);
    assert_int_equal(fs->ops->write(fs, &handle, "x", 1, UINT64_MAX, 0), -EFBIG);
    assert_int_equal(fs->ops->write(fs, &handle, "x", 1, 1000000, 0), 1);
    struct fuse_kstatfs st;
    assert_int_equal(fs->ops->statfs(fs, &st), 0);
    assert_true(st.bfree < st.blocks);
    fs->ops->close(fs);
    nodes_close(&nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),          cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_node_memory),    cmocka_unit_test(test_shadow_match),
        cmocka_unit_test(test_shadow_refused), cmocka_unit_test(test_owners),
        cmocka_unit_test(test_memory_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
