/* The image store: refs, import, verification, holding and removing. */
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
#include "base/str.h"
#include "vm/image/image.h"
#include "vm/image/store.h"

#define ROOTFS_SIZE (1 << 20)

static char base[64], assets[96];

static void put(const char *path, const char *content)
{
    assert_int_equal(path_write(path, 0644, content, strlen(content), NULL), 0);
}

/* An asset directory with a manifest; the kernel lies elsewhere behind a symlink. */
static void make_assets(const char *kernel)
{
    struct scratch scratch = SCRATCH_NONE;
    struct manifest manifest = {
        .name = "Test",
        .kernel_version = "1",
        .created = "2024-01-31T12:00:00Z",
        .parts = {{.file = "kernel"}, {.file = "initramfs"}, {.file = "rootfs.ext4"}},
    };
    assert_int_equal(store_machine(manifest.arch, NULL), 0);
    assert_int_equal(store_begin(&scratch, NULL), 0);
    for (int i = 0; i < PART_COUNT; i++) {
        CLEAN_FREE char *path = str_printf("%s/%s", scratch.path, manifest.parts[i].file);
        put(path, i == PART_KERNEL ? kernel : manifest.parts[i].file);
        if (i == PART_ROOTFS)
            assert_int_equal(truncate(path, ROOTFS_SIZE), 0);
    }
    assert_int_equal(store_commit(&scratch, &manifest, NULL, NULL, NULL), 0);
    CLEAN_FREE char *name = str_printf("objects/%s", manifest.id);
    CLEAN_FREE char *object = NULL;
    assert_int_equal(store_path(name, &object, NULL), 0);
    scratch_close(&scratch);
    assert_int_equal(path_remove(assets, NULL), 0);
    assert_int_equal(rename(object, assets), 0);
    CLEAN_FREE char *inside = str_printf("%s/kernel", assets);
    CLEAN_FREE char *outside = str_printf("%s/elsewhere", base);
    assert_int_equal(rename(inside, outside), 0);
    assert_int_equal(symlink(outside, inside), 0);
}

static int setup(void **state)
{
    (void)state;
    strcpy(base, "/tmp/vmdeck-store-XXXXXX");
    if (mkdtemp(base) == NULL || setenv("XDG_DATA_HOME", base, 1) < 0 ||
        setenv("XDG_CACHE_HOME", base, 1) < 0)
        return -1;
    snprintf(assets, sizeof assets, "%s/assets", base);
    make_assets("kernel one");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return path_remove(base, NULL);
}

static void test_selectors(void **state)
{
    (void)state;
    char id[IMAGE_ID_SIZE];
    assert_int_equal(image_import(assets, "safe:1.0", id, NULL), 0);
    CLEAN_FREE char *prefix = strndup(id, 8);
    CLEAN_FREE char *short_prefix = strndup(id, 7);
    char upper[IMAGE_ID_SIZE];
    for (size_t i = 0; i < sizeof upper; i++)
        upper[i] = (char)(id[i] >= 'a' && id[i] <= 'f' ? id[i] - 32 : id[i]);
    const struct {
        const char *selector;
        int rc;
    } rows[] = {
        {id, 0},
        {prefix, 0},
        {"safe:1.0", 0},
        {assets, 0},
        {"safe", -ENOENT}, /* safe:latest */
        {"other:1.0", -ENOENT},
        {"safe/../escape:latest", -ENOENT},
        {"/nowhere", -ENOENT},
        {"..:latest", -EINVAL},
        {"safe:..", -EINVAL},
        {".hidden", -EINVAL},
        {"", -EINVAL},
        {"safe:", -EINVAL},
        {"safe:1.0:2", -EINVAL},
        {"sp ace", -EINVAL},
        {"ctl\033", -EINVAL},
        {short_prefix, -ENOENT},
        {"00000000", -ENOENT},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", -EINVAL}, /* 65 */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_IMAGE struct image image = {0};
        struct error err = {0};
        int rc = image_open(rows[i].selector, &image, &err);
        if (rc != rows[i].rc)
            print_error("'%s': %d %s\n", rows[i].selector, rc, err.message);
        assert_int_equal(rc, rows[i].rc);
        if (rc == 0)
            assert_string_equal(image.id, id);
    }
    if (strcmp(upper, id) != 0) {
        struct image image;
        assert_int_equal(image_open(upper, &image, NULL), -ENOENT);
    }
}

static void test_parts(void **state)
{
    (void)state;
    char id[IMAGE_ID_SIZE];
    CLEAN_IMAGE struct image image = {0};
    struct stat st;
    assert_int_equal(image_import(assets, "a", id, NULL), 0);
    assert_int_equal(image_open("a", &image, NULL), 0);
    assert_int_equal(lstat(image.kernel, &st), 0);
    assert_true(S_ISREG(st.st_mode)); /* it was a symlink */
    assert_int_equal(st.st_mode & 07777, 0444);
    assert_int_equal(lstat(image.rootfs, &st), 0);
    assert_true(st.st_blocks * 512 < ROOTFS_SIZE); /* holes stay holes */
    assert_int_equal(image.rootfs_size, ROOTFS_SIZE);
    CLEAN_FREE char *path = NULL;
    CLEAN_FREE char *again = NULL;
    assert_int_equal(image_initrd(&image, &path, NULL), 0);
    assert_int_equal(image_initrd(&image, &again, NULL), 0);
    assert_string_equal(path, again);
    CLEAN_FREE char *text = NULL;
    assert_int_equal(image_inspect("a", &text, NULL), 0);
    assert_non_null(strstr(text, id));
}

static void test_refs(void **state)
{
    (void)state;
    char one[IMAGE_ID_SIZE], two[IMAGE_ID_SIZE], id[IMAGE_ID_SIZE], arch[MANIFEST_TEXT_MAX];
    assert_int_equal(store_machine(arch, NULL), 0);
    assert_int_equal(image_import(assets, "a", one, NULL), 0);
    make_assets("kernel two");
    assert_int_equal(image_import(assets, NULL, two, NULL), 0);
    assert_string_not_equal(one, two);
    assert_int_equal(image_tag(two, "b:x", NULL), 0);
    assert_int_equal(image_tag("b:x", "a:latest", NULL), 0); /* replaces */
    assert_int_equal(store_ref_read("a", arch, id, NULL), 0);
    assert_string_equal(id, two);
    assert_int_equal(image_tag("a", "../x", NULL), -EINVAL);
    assert_int_equal(image_tag("none", "c", NULL), -ENOENT);
    assert_int_equal(image_tag(assets, "c", NULL), -EINVAL);
    /* a ref that is a plain file is an error for readers and writers, not something to replace */
    CLEAN_FREE char *path = str_printf("%s/vmdeck/images/refs/b/x/%s", base, arch);
    assert_int_equal(unlink(path), 0);
    put(path, "plain");
    struct error err = {0};
    struct image image;
    assert_int_equal(image_open("b:x", &image, &err), -EBADMSG);
    assert_non_null(strstr(err.message, "not a symlink"));
    assert_int_equal(image_tag(two, "b:x", &err), -EBADMSG);
    static const char *const targets[] = {"../../../objects/../../x", "/etc", "../../../objects/"};
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink(targets[i], path), 0);
        assert_int_equal(image_open("b:x", &image, &err), -EBADMSG);
    }
}

/* A changed byte is found although size and mtime are as before. */
static void test_changed(void **state)
{
    (void)state;
    static const char *const parts[] = {"kernel", "initramfs", "rootfs.ext4"};
    char id[IMAGE_ID_SIZE];
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        CLEAN_IMAGE struct image image = {0};
        struct error err = {0};
        assert_int_equal(image_import(assets, "a", id, NULL), 0);
        assert_int_equal(image_open("a", &image, NULL), 0);
        CLEAN_FREE char *path = str_printf("%s/%s", image.directory, parts[i]);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(chmod(path, 0644), 0);
        CLEAN_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "X", 1, 3), 1);
        const struct timespec times[] = {st.st_atim, st.st_mtim};
        assert_int_equal(futimens(fd, times), 0);
        struct image changed;
        assert_int_equal(image_open("a", &changed, &err), -EBADMSG);
        assert_non_null(strstr(err.message, parts[i]));
        assert_non_null(strstr(err.message, "vmdeck image rm"));
        assert_int_equal(ftruncate(fd, 2), 0);
        assert_int_equal(image_open("a", &changed, &err), -EBADMSG);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(image_open("a", &changed, &err), -EBADMSG);
        assert_int_equal(image_remove("a", NULL), 0); /* what the message says to do works */
    }
}

/* With an old file the stamp is kept, and a stamp for other content is not believed. */
static void test_stamp(void **state)
{
    (void)state;
    char id[IMAGE_ID_SIZE], hex[HASH_HEX_SIZE];
    CLEAN_IMAGE struct image image = {0};
    assert_int_equal(image_import(assets, "a", id, NULL), 0);
    assert_int_equal(image_open("a", &image, NULL), 0);
    assert_int_equal(hash_memory(image.directory, strlen(image.directory), hex, NULL), 0);
    CLEAN_FREE char *path = str_printf("%s/vmdeck/images/stamps/%.32s", base, hex);
    put(path, "1 2 3 4 5\n1 2 3 4 5\n1 2 3 4 5\n");
    struct image again;
    assert_int_equal(image_open("a", &again, NULL), 0);
    image_close(&again);
}

static void test_import_damaged(void **state)
{
    (void)state;
    char id[IMAGE_ID_SIZE];
    struct error err = {0};
    CLEAN_FREE char *kernel = str_printf("%s/elsewhere", base);
    put(kernel, "kernel 0ne"); /* as long, but another */
    assert_int_equal(image_import(assets, "a", id, &err), -EBADMSG);
    put(kernel, "longer than before");
    assert_int_equal(image_import(assets, "a", id, &err), -EBADMSG);
    assert_int_equal(unlink(kernel), 0);
    assert_int_equal(image_import(assets, "a", id, &err), -ENOENT);
    assert_int_equal(mkfifo(kernel, 0600), 0); /* nobody waits for a writer */
    assert_int_equal(image_import(assets, "a", id, &err), -EBADMSG);
    assert_int_equal(image_import(assets, "a/b", id, &err), -EINVAL);
    struct image image;
    assert_int_equal(image_open("a", &image, NULL), -ENOENT);
    CLEAN_FREE char *list = str_printf("ls %s/vmdeck/images | grep -q tmp", base);
    assert_int_not_equal(system(list), 0);
}

static void test_import_twice_at_once(void **state)
{
    (void)state;
    pid_t children[4];
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char byte, id[IMAGE_ID_SIZE];
            close(gate[1]);
            ssize_t got = read(gate[0], &byte, 1); /* ends when all may start */
            _exit(got != 0 || image_import(assets, i % 2 == 0 ? "a" : "b", id, NULL) != 0);
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    CLEAN_FREE char *count = str_printf(
        "test $(ls %s/vmdeck/images/objects | wc -l) = 1 && ! ls %s/vmdeck/images | grep -q tmp",
        base, base);
    assert_int_equal(system(count), 0);
    CLEAN_IMAGE struct image image = {0};
    assert_int_equal(image_open("b", &image, NULL), 0);
}

struct rows {
    size_t count;
    char refs[4][80];
};

static void collect(void *context, const struct image_row *row)
{
    struct rows *rows = context;
    assert_true(rows->count < ARRAY_SIZE(rows->refs));
    snprintf(rows->refs[rows->count++], sizeof rows->refs[0], "%s",
             row->ref != NULL ? row->ref : "-");
    assert_string_equal(row->title, "Test");
}

static void test_remove(void **state)
{
    (void)state;
    char id[IMAGE_ID_SIZE];
    CLEAN_IMAGE struct image image = {0};
    struct error err = {0};
    assert_int_equal(image_import(assets, "b", id, NULL), 0);
    assert_int_equal(image_tag("b", "a:2", NULL), 0);
    struct rows rows = {0};
    assert_int_equal(image_list(collect, &rows, NULL), 0);
    assert_int_equal(rows.count, 2);
    assert_string_equal(rows.refs[0], "a:2");
    assert_string_equal(rows.refs[1], "b:latest");
    assert_int_equal(image_open("b", &image, NULL), 0);
    assert_int_equal(image_remove(id, &err), -EBUSY); /* it has names */
    assert_int_equal(image_remove("a:2", NULL), 0);
    int held;
    assert_int_equal(image_hold(&image, &held, NULL), 0);
    assert_int_equal(image_remove("b", NULL), 0); /* the name goes, the object is in use */
    assert_int_equal(access(image.kernel, F_OK), 0);
    rows.count = 0;
    assert_int_equal(image_list(collect, &rows, NULL), 0);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.refs[0], "-");
    assert_int_equal(image_remove(id, &err), -EBUSY);
    assert_non_null(strstr(err.message, "in use"));
    close(held);
    assert_int_equal(image_remove(id, NULL), 0);
    assert_int_equal(access(image.directory, F_OK), -1);
    assert_int_equal(image_hold(&image, &held, NULL), -ENOENT);
    assert_int_equal(image_remove(id, NULL), -ENOENT);
}

/* A directory in the making whose process is gone is removed, one that is worked in stays. */
static void test_abandoned(void **state)
{
    (void)state;
    CLEAN_SCRATCH struct scratch one = SCRATCH_NONE;
    CLEAN_SCRATCH struct scratch two = SCRATCH_NONE;
    assert_int_equal(store_begin(&one, NULL), 0);
    CLEAN_FREE char *abandoned = str_printf("%s/vmdeck/images/tmp.1-abcdef/x", base);
    assert_int_equal(path_mkdirs(abandoned, 0700, NULL), 0);
    assert_int_equal(store_begin(&two, NULL), 0);
    assert_int_equal(access(abandoned, F_OK), -1);
    assert_int_equal(access(one.path, F_OK), 0);
    assert_int_equal(access(two.path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_selectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stamp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_import_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_import_twice_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abandoned, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
