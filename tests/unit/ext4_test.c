/* vm/image/ext4: what goes in comes out, as e2fsck(8) and debugfs(8) see it. */
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
#include "base/hash.h"
#include "base/path.h"
#include "base/str.h"
#include "vm/image/ext4.h"

#define MANY        10000
#define SPARSE_SIZE (3ull << 30)

struct fixture {
    char directory[64];
    char image[96];
};

struct memory {
    const char *data;
    size_t size;
    uint64_t offset;
};

static int memory_read(void *context, const void **data, size_t *size, uint64_t *offset,
                       struct error *err)
{
    (void)err;
    struct memory *memory = context;
    *data = memory->data;
    *size = memory->size;
    *offset = memory->offset;
    memory->size = 0;
    return *size > 0;
}

/* Three bytes at the start, three at the very end. */
static int sparse_read(void *context, const void **data, size_t *size, uint64_t *offset,
                       struct error *err)
{
    (void)err;
    int *calls = context;
    *data = "abc";
    *size = 3;
    *offset = *calls == 0 ? 0 : SPARSE_SIZE - 3;
    return (*calls)++ < 2;
}

static int write_all(const struct fixture *fixture, const struct ext4_entry *entries, size_t count,
                     struct error *err)
{
    CLEAN_EXT4 struct ext4 *ext4 = NULL;
    struct ext4_size size = {0};
    for (size_t i = 0; i < count; i++)
        ext4_measure(&size, &entries[i]);
    int rc = ext4_create(fixture->image, "test", &size, &ext4, err);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = ext4_add(ext4, &entries[i], err);
    return rc < 0 ? rc : ext4_finish(&ext4, err);
}

/* The command's output; its failure is a failure of the test. */
static char *output_of(const char *command)
{
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t size = 8 << 20;
    char *text = malloc(size);
    assert_non_null(text);
    text[fread(text, 1, size - 1, pipe)] = '\0';
    int status = pclose(pipe);
    if (status != 0)
        print_error("%s\n%s", command, text);
    assert_int_equal(status, 0);
    return text;
}

static void assert_sound(const struct fixture *fixture)
{
    CLEAN_FREE char *command =
        str_printf("PATH=$PATH:/usr/sbin:/sbin e2fsck -fn %s 2>&1", fixture->image);
    CLEAN_FREE char *text = output_of(command);
    /* five passes and the summary: a complaint would be one more line */
    size_t lines = 0;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    if (lines != 7)
        print_error("%s", text);
    assert_int_equal(lines, 7);
}

static char *debugfs(const struct fixture *fixture, const char *request)
{
    CLEAN_FREE char *command = str_printf(
        "PATH=$PATH:/usr/sbin:/sbin debugfs -R '%s' %s 2>/dev/null", request, fixture->image);
    return output_of(command);
}

static void assert_shows(const struct fixture *fixture, const char *request, const char *expected)
{
    CLEAN_FREE char *text = debugfs(fixture, request);
    if (strstr(text, expected) == NULL)
        print_error("%s: no '%s' in\n%s", request, expected, text);
    assert_non_null(strstr(text, expected));
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    strcpy(fixture->directory, "/tmp/vmdeck-ext4-XXXXXX");
    if (mkdtemp(fixture->directory) == NULL)
        return -1;
    snprintf(fixture->image, sizeof fixture->image, "%s/image", fixture->directory);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    int rc = path_remove(fixture->directory, NULL);
    free(fixture);
    return rc;
}

static char long_name[256], long_target[1500], big_value[3000];

static const struct {
    const char *request, *expected;
} kinds[] = {
    {"stat /", "Mode:  0711"},
    {"stat /late", "Mode:  01777"},
    {"stat /late", "mtime: 0xffffffff:00000000"},
    {"stat /late/parent", "Mode:  0755"},
    {"stat /late/parent/file", "Mode:  04755"},
    {"stat /late/parent/file", "User: 70000   Group: 2000000000"},
    {"stat /late/parent/file", "Links: 2"},
    {"stat /late/parent/file", "mtime: 0x6553f100:1d6f3454"},
    {"stat /late/parent/file", "security.capability (20)"},
    {"stat /late/parent/file", "user.big (3000)"},
    {"cat /hard", "hello\n"},
    {"stat /fast", "Fast link dest: \"late/parent\""},
    {"stat /late/parent/through", "Type: regular    Mode:  0600"},
    {"cat /slow", long_target},
    {"stat /null", "Device major/minor number: 01:03"},
    {"stat /disk", "Device major/minor number: 259:70000"},
    {"stat /fifo", "Type: FIFO"},
    {"stat /sparse", "Size: 3221225472"},
    {"stat /sparse", "Blockcount: 16"},
    {"stat /sparse", "mtime: 0x65a0bc00:00000001"},
    {"cat /twice", "replaced"},
    {"ls /", long_name},
};

static const uint8_t capability[20] = {1, 0, 0, 2, 0, 4};
static const struct ext4_xattr xattrs[] = {{"security.capability", capability, sizeof capability},
                                           {"user.big", big_value, sizeof big_value}};
static struct memory hello = {"hello\n", 6, 0};
static struct memory again = {"replaced", 8, 0};
static struct memory first = {"first", 5, 0};
static int sparse;
static const struct ext4_entry kind_entries[] = {
    {.path = "./", .mode = S_IFDIR | 0711, .uid = 5},
    {.path = "late/parent/file",
     .mode = S_IFREG | 04755,
     .uid = 70000,
     .gid = 2000000000u,
     .mtime = 1700000000,
     .mtime_ns = 123456789,
     .size = 6,
     .stored = 6,
     .read = memory_read,
     .context = &hello,
     .xattrs = xattrs,
     .xattr_count = 2},
    {.path = "late/", .mode = S_IFDIR | 01777, .uid = 7, .mtime = -1},
    {.path = "/hard", .link = "./late/parent/file"},
    {.path = "fast", .mode = S_IFLNK | 0777, .target = "late/parent"},
    {.path = "slow", .mode = S_IFLNK | 0777, .target = long_target},
    {.path = "fast/through", .mode = S_IFREG | 0600},
    {.path = "null", .mode = S_IFCHR | 0666, .major = 1, .minor = 3},
    {.path = "disk", .mode = S_IFBLK | 0660, .major = 259, .minor = 70000},
    {.path = "fifo", .mode = S_IFIFO | 0600},
    {.path = "sparse",
     .mode = S_IFREG | 0644,
     .mtime = 6000000000,
     .size = SPARSE_SIZE,
     .stored = 6,
     .read = sparse_read,
     .context = &sparse},
    {.path = long_name, .mode = S_IFREG | 0644},
    {.path = "twice",
     .mode = S_IFREG | 0644,
     .size = 5,
     .stored = 5,
     .read = memory_read,
     .context = &first,
     .xattrs = xattrs,
     .xattr_count = 2},
    {.path = "twice",
     .mode = S_IFREG | 0600,
     .size = 8,
     .stored = 8,
     .read = memory_read,
     .context = &again},
};

static void test_kinds(void **state)
{
    const struct fixture *fixture = *state;
    memset(long_name, 'n', 255);
    memset(long_target, 't', sizeof long_target - 1);
    memset(big_value, 'v', sizeof big_value);
    struct error err = {0};
    int rc = write_all(fixture, kind_entries, ARRAY_SIZE(kind_entries), &err);
    if (rc != 0)
        print_error("%s\n", err.message);
    assert_int_equal(rc, 0);
    assert_sound(fixture);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        assert_shows(fixture, kinds[i].request, kinds[i].expected);
}

static void test_big_directory(void **state)
{
    const struct fixture *fixture = *state;
    CLEAN_FREE struct ext4_entry *entries = calloc(MANY, sizeof *entries);
    CLEAN_STRV struct strv names = {0};
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(strv_addf(&names, "many/file-with-a-name-%zu", i), 0);
        /* every third a directory: the link count of their parent */
        entries[i].mode = i % 3 == 0 ? S_IFDIR | 0700 : S_IFREG | 0600;
    }
    for (size_t i = 0; i < MANY; i++)
        entries[i].path = names.items[i];
    assert_int_equal(write_all(fixture, entries, MANY, NULL), 0);
    assert_sound(fixture);
    CLEAN_FREE char *text = debugfs(fixture, "ls -p /many");
    size_t found = 0;
    for (const char *p = text; (p = strstr(p, "/file-with-a-name-")) != NULL; p++)
        found++;
    assert_int_equal(found, MANY);
    assert_shows(fixture, "stat /many", "Links: 3336");
}

/* 20 MiB with holes of every alignment, compared byte by byte through debugfs. */
static void test_content(void **state)
{
    const struct fixture *fixture = *state;
    size_t size = (20u << 20) + 4097;
    CLEAN_FREE char *data = calloc(1, size);
    uint32_t random = 1;
    for (size_t i = 0; i < size; i++) {
        random = random * 1664525 + 1013904223;
        data[i] = i / 30000 % 3 == 0 ? 0 : (char)(random >> 24);
    }
    struct memory memory = {data, size, 0};
    const struct ext4_entry entry = {.path = "data",
                                     .mode = S_IFREG | 0644,
                                     .size = size,
                                     .stored = size,
                                     .read = memory_read,
                                     .context = &memory};
    assert_int_equal(write_all(fixture, &entry, 1, NULL), 0);
    assert_sound(fixture);
    CLEAN_FREE char *request = str_printf("dump /data %s/out", fixture->directory);
    CLEAN_FREE char *path = str_printf("%s/out", fixture->directory);
    free(debugfs(fixture, request));
    CLEAN_BUF struct buf out = {0};
    assert_int_equal(path_read(path, size, &out, NULL), 0);
    assert_int_equal(buf_len(&out), size);
    assert_memory_equal(buf_data(&out), data, size);
    struct stat st;
    assert_int_equal(stat(fixture->image, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 < size); /* the spare room takes none */
}

static char deep[5000];

static void test_refused(void **state)
{
    const struct fixture *fixture = *state;
    memset(deep, 'x', sizeof deep - 1);
    memset(long_name, 'n', 255);
    static char too_long[300];
    memset(too_long, 'n', 256);
    static char huge[5000];
    const struct ext4_xattr xattr = {"user.huge", huge, sizeof huge};
    struct memory more = {"more than one", 13, 0};
    const struct {
        struct ext4_entry entry;
        int rc;
    } rows[] = {
        {{.path = "a/../b", .mode = S_IFREG}, -EINVAL},
        {{.path = "..", .mode = S_IFDIR}, -EINVAL},
        {{.path = deep, .mode = S_IFREG}, -ENAMETOOLONG},
        {{.path = too_long, .mode = S_IFREG}, -ENAMETOOLONG},
        {{.path = "file/below", .mode = S_IFREG}, -ENOTDIR},
        {{.path = "full", .mode = S_IFREG}, -ENOTEMPTY},
        {{.path = "", .mode = S_IFREG}, -ENOTEMPTY},
        {{.path = "link", .link = "nowhere"}, -ENOENT},
        {{.path = "link", .link = "full"}, -EPERM},
        {{.path = "loop/x", .mode = S_IFREG}, -ELOOP},
        {{.path = "symlink", .mode = S_IFLNK, .target = ""}, -ENAMETOOLONG},
        {{.path = "symlink", .mode = S_IFLNK, .target = deep}, -ENAMETOOLONG},
        {{.path = "huge", .mode = S_IFREG, .xattrs = &xattr, .xattr_count = 1}, -E2BIG},
        {{.path = "more", .mode = S_IFREG, .size = 1, .read = memory_read, .context = &more},
         -EINVAL},
        {{.path = "untyped"}, -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        more.size = 13;
        const struct ext4_entry entries[] = {
            {.path = "file", .mode = S_IFREG},
            {.path = "full/file", .mode = S_IFREG},
            {.path = "loop", .mode = S_IFLNK, .target = "loop"},
            rows[i].entry,
        };
        int rc = write_all(fixture, entries, ARRAY_SIZE(entries), &err);
        if (rc != rows[i].rc)
            print_error("row %zu: %d %s\n", i, rc, err.message);
        assert_int_equal(rc, rows[i].rc);
        assert_string_not_equal(err.message, "");
    }
}

/* What was not measured does not fit, and says so. */
static void test_full(void **state)
{
    const struct fixture *fixture = *state;
    size_t size = 100u << 20;
    CLEAN_FREE char *data = malloc(size);
    memset(data, 'x', size);
    struct memory memory = {data, size, 0};
    struct ext4_size nothing = {0};
    const struct ext4_entry entry = {
        .path = "data", .mode = S_IFREG, .size = size, .read = memory_read, .context = &memory};
    CLEAN_EXT4 struct ext4 *ext4 = NULL;
    struct error err = {0};
    assert_int_equal(ext4_create(fixture->image, "test", &nothing, &ext4, NULL), 0);
    assert_int_equal(ext4_add(ext4, &entry, &err), -ENOSPC);
    assert_non_null(strstr(err.message, "'data'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_big_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_content, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
