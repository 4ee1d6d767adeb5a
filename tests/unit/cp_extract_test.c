/* session/cli/cp_extract: archives that try to get out of their directory, and honest ones. */
#include "unit.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "session/cli/cp_extract.h"

struct member {
    const char *path;
    char type; /* d, f, l (symlink), h (hard link), p (fifo), c (device) */
    mode_t mode;
    const char *text; /* content or target */
};

#define MEMBERS 6

static char top[64], inside[96];

static la_ssize_t collect(struct archive *writer, void *context, const void *data, size_t size)
{
    (void)writer;
    return buf_append(context, data, size) == 0 ? (la_ssize_t)size : -1;
}

static void tar_make(const struct member *members, struct buf *out)
{
    static const struct {
        char letter;
        mode_t type;
    } types[] = {{'d', S_IFDIR}, {'f', S_IFREG}, {'l', S_IFLNK},
                 {'h', S_IFREG}, {'p', S_IFIFO}, {'c', S_IFCHR}};
    struct archive *writer = archive_write_new();
    assert_int_equal(archive_write_set_format_pax(writer), ARCHIVE_OK);
    assert_int_equal(archive_write_set_options(writer, "hdrcharset=BINARY"), ARCHIVE_OK);
    archive_write_set_bytes_per_block(writer, 512);
    assert_int_equal(archive_write_open(writer, out, NULL, collect, NULL), ARCHIVE_OK);
    for (const struct member *m = members; m->path != NULL; m++) {
        struct archive_entry *entry = archive_entry_new();
        mode_t type = 0;
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
            if (types[i].letter == m->type)
                type = types[i].type;
        archive_entry_copy_pathname(entry, m->path);
        archive_entry_set_mode(entry, type | m->mode);
        archive_entry_set_mtime(entry, 981173106, 123456789);
        archive_entry_set_size(entry, m->type == 'f' ? (la_int64_t)strlen(m->text) : 0);
        if (m->type == 'l')
            archive_entry_copy_symlink(entry, m->text);
        if (m->type == 'h')
            archive_entry_copy_hardlink(entry, m->text);
        assert_true(archive_write_header(writer, entry) >= ARCHIVE_WARN);
        if (m->type == 'f' && m->text[0] != '\0')
            assert_int_equal(archive_write_data(writer, m->text, strlen(m->text)), strlen(m->text));
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(writer), ARCHIVE_OK);
    archive_write_free(writer);
}

struct feed {
    const struct buf *tar;
    size_t at, step;
    int fail_at_end;
};

static ssize_t feed_read(void *context, const void **data, struct error *err)
{
    struct feed *feed = context;
    size_t left = buf_len(feed->tar) - feed->at, size = left < feed->step ? left : feed->step;
    if (size == 0 && feed->fail_at_end != 0)
        return error_set(err, feed->fail_at_end, "the guest said so");
    *data = buf_data(feed->tar) + feed->at;
    feed->at += size;
    return (ssize_t)size;
}

static int unpack(struct feed *feed, struct error *err)
{
    const struct cp_source source = {.read = feed_read, .context = feed, .name = "item"};
    assert_int_equal(mkdir(inside, 0700), 0);
    CLEAN_FD int directory = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory >= 0);
    return cp_extract(directory, &source, err);
}

/* What is beside the directory must be what it was: one file, one link, unchanged. */
static void check_outside(void)
{
    struct stat st;
    struct buf content = {0};
    CLEAN_FREE char *victim = str_printf("%s/victim", top);
    assert_int_equal(path_read(victim, 100, &content, NULL), 0);
    assert_string_equal(buf_string(&content), "untouched");
    buf_free(&content);
    assert_int_equal(stat(victim, &st), 0);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(top, &st), 0);
    assert_int_equal(st.st_nlink, 3); /* `inside` is the only directory */
}

static const struct {
    const char *what;
    struct member members[MEMBERS];
} hostile[] = {
    {"..", {{"./", 'd', 0755, NULL}, {"./../victim", 'f', 0644, "evil"}}},
    {".. in the middle",
     {{"./", 'd', 0755, NULL}, {"a", 'd', 0755, NULL}, {"a/../../victim", 'f', 0644, "x"}}},
    {".. as a directory", {{"./", 'd', 0755, NULL}, {"..", 'd', 0777, NULL}}},
    {"absolute", {{"./", 'd', 0755, NULL}, {"/tmp/vmdeck-cp-evil", 'f', 0644, "evil"}}},
    {"through a link",
     {{"./", 'd', 0755, NULL}, {"l", 'l', 0777, "../.."}, {"l/victim", 'f', 0644, "x"}}},
    {"through a link to a directory inside",
     {{"./", 'd', 0755, NULL},
      {"a", 'd', 0755, NULL},
      {"l", 'l', 0777, "a"},
      {"l/x", 'f', 0644, "x"}}},
    {"over a link",
     {{"./", 'd', 0755, NULL}, {"l", 'l', 0777, "../../victim"}, {"l", 'f', 0644, "x"}}},
    {"a directory over a link",
     {{"./", 'd', 0755, NULL}, {"l", 'l', 0777, "../.."}, {"l", 'd', 0777, NULL}}},
    {"hard link outside", {{"./", 'd', 0755, NULL}, {"h", 'h', 0644, "../../victim"}}},
    {"hard link, absolute", {{"./", 'd', 0755, NULL}, {"h", 'h', 0644, "/etc/passwd"}}},
    {"hard link through a link",
     {{"./", 'd', 0755, NULL}, {"l", 'l', 0777, "../.."}, {"h", 'h', 0644, "l/victim"}}},
    {"hard link to nothing", {{"./", 'd', 0755, NULL}, {"h", 'h', 0644, "none"}}},
    {"twice", {{"./", 'd', 0755, NULL}, {"f", 'f', 0644, "1"}, {"f", 'f', 0644, "2"}}},
    {"no parent", {{"./", 'd', 0755, NULL}, {"a/b", 'f', 0644, "1"}}},
    {"the item twice", {{"./", 'd', 0755, NULL}, {"./", 'd', 0755, NULL}}},
    {"another item", {{"other", 'f', 0644, "1"}}},
    {"another directory", {{"item", 'd', 0755, NULL}}},
    {"a file and more", {{"item", 'f', 0644, "1"}, {"more", 'f', 0644, "1"}}},
    {"a file, then a directory", {{"item", 'f', 0644, "1"}, {"./", 'd', 0755, NULL}}},
    {"a link, then through it", {{"item", 'l', 0777, ".."}, {"item/victim", 'f', 0644, "x"}}},
    {"a hard link alone", {{"item", 'h', 0644, "../victim"}}},
    {"a device alone", {{"item", 'c', 0666, NULL}}},
    {"nothing", {{NULL, 0, 0, NULL}}},
};

static void test_hostile(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        CLEAN_BUF struct buf tar = {0};
        struct error err = {0};
        tar_make(hostile[i].members, &tar);
        struct feed feed = {.tar = &tar, .step = 1000};
        if (unpack(&feed, &err) == 0)
            fail_msg("%s: was unpacked", hostile[i].what);
        assert_true(err.code > 0 && err.message[0] != '\0');
        check_outside();
        assert_int_equal(path_remove(inside, NULL), 0);
    }
}

static void stat_inside(const char *name, struct stat *st)
{
    CLEAN_FREE char *path = str_printf("%s/%s", inside, name);
    if (lstat(path, st) < 0)
        fail_msg("%s: %s", path, strerror(errno));
}

static const struct member honest[] = {
    {"./", 'd', 0750, NULL},       {"./a", 'd', 01500, NULL},  {"./a/f", 'f', 06751, "content"},
    {"./h", 'h', 0751, "./a/f"},   {"./l", 'l', 0777, "/etc"}, {"./pipe", 'p', 0666, NULL},
    {"./n\n\xff", 'f', 0600, "n"}, {NULL, 0, 0, NULL},
};

static void test_honest(void **state)
{
    (void)state;
    CLEAN_BUF struct buf tar = {0};
    struct error err = {0};
    struct stat st, other;
    tar_make(honest, &tar);
    for (size_t step = 1; step < 20000; step = step * 7 + 3) {
        struct feed feed = {.tar = &tar, .step = step};
        if (unpack(&feed, &err) < 0)
            fail_msg("in steps of %zu: %s", step, err.message);
        stat_inside(CP_ITEM, &st);
        assert_int_equal(st.st_mode, S_IFDIR | 0750);
        stat_inside(CP_ITEM "/a", &st);
        assert_int_equal(st.st_mode, S_IFDIR | 01500);
        assert_true(st.st_mtim.tv_sec == 981173106 && st.st_mtim.tv_nsec == 123456789);
        stat_inside(CP_ITEM "/a/f", &st);
        assert_int_equal(st.st_mode, S_IFREG | 0751); /* no setuid, no setgid */
        assert_true(st.st_size == 7 && st.st_mtim.tv_nsec == 123456789);
        stat_inside(CP_ITEM "/h", &other);
        assert_true(other.st_ino == st.st_ino);
        stat_inside(CP_ITEM "/l", &st);
        assert_true(S_ISLNK(st.st_mode) && st.st_mtim.tv_nsec == 123456789);
        stat_inside(CP_ITEM "/n\n\xff", &st);
        CLEAN_FREE char *pipe = str_printf("%s/%s/pipe", inside, CP_ITEM);
        assert_true(access(pipe, F_OK) < 0);
        CLEAN_FREE char *locked = str_printf("%s/%s/a", inside, CP_ITEM);
        assert_int_equal(chmod(locked, 0700), 0);
        assert_int_equal(path_remove(inside, NULL), 0);
    }
}

/* Cut off within the data: an error. Whole, but the sender failed: its error. */
static void test_cut_off(void **state)
{
    (void)state;
    CLEAN_BUF struct buf tar = {0};
    char content[3000];
    memset(content, 'x', sizeof content);
    content[sizeof content - 1] = '\0';
    struct error err = {0};
    tar_make((const struct member[]){{"item", 'f', 0644, content}, {NULL, 0, 0, NULL}}, &tar);
    size_t whole = tar.end;
    for (tar.end = tar.start; tar.end + 1024 + 512 < whole; tar.end += 100) {
        struct feed feed = {.tar = &tar, .step = 512};
        assert_true(unpack(&feed, &err) < 0);
        assert_int_equal(path_remove(inside, NULL), 0);
    }
    tar.end = whole;
    struct feed feed = {.tar = &tar, .step = 512, .fail_at_end = EPIPE};
    assert_int_equal(unpack(&feed, &err), -EPIPE);
    assert_string_equal(err.message, "the guest said so");
    assert_int_equal(path_remove(inside, NULL), 0);
}

/* Names beyond the limits: too long a part, too deep, and headers without end. */
static void test_limits(void **state)
{
    (void)state;
    static char deep[2 * CP_DEPTH_MAX + 8], wide[400], huge[5000];
    for (size_t i = 0; i < CP_DEPTH_MAX + 1; i++)
        memcpy(deep + 2 * i, "a/", 3);
    memset(wide, 'w', sizeof wide - 1);
    for (size_t i = 0; i < sizeof huge - 1; i++)
        huge[i] = i % 100 == 99 ? '/' : 'h';
    const char *const names[] = {deep, wide, huge};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEAN_BUF struct buf tar = {0};
        struct error err = {0};
        tar_make((const struct member[]){{"./", 'd', 0755, NULL}, {names[i], 'f', 0644, "x"}, {0}},
                 &tar);
        struct feed feed = {.tar = &tar, .step = 4096};
        assert_true(unpack(&feed, &err) < 0);
        assert_non_null(strstr(err.message, "too long or too deep"));
        assert_int_equal(path_remove(inside, NULL), 0);
    }
}

/* One ustar header; the checksum is the sum of its bytes with blanks in its own place. */
static void raw_header(struct buf *out, const char *name, char type, size_t size)
{
    uint8_t *block = buf_reserve(out, 512);
    unsigned sum = 0;
    memset(block, 0, 512);
    snprintf((char *)block, 100, "%s", name);
    memcpy(block + 100, "0000644", 8);
    snprintf((char *)block + 124, 12, "%011zo", size);
    memset(block + 148, ' ', 8);
    block[156] = (uint8_t)type;
    memcpy(block + 257, "ustar\00000", 8);
    for (size_t i = 0; i < 512; i++)
        sum += block[i];
    snprintf((char *)block + 148, 8, "%06o", sum);
    buf_added(out, 512);
}

/* A sparse map of many millions of entries, which libarchive would keep in memory. */
static void test_sparse_map(void **state)
{
    static const char attributes[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
                                     "29 GNU.sparse.realsize=99999\n";
    (void)state;
    CLEAN_BUF struct buf tar = {0};
    struct error err = {0};
    size_t map = (size_t)CP_HEADER_MAX * 2;
    raw_header(&tar, "PaxHeaders/item", 'x', sizeof attributes - 1);
    uint8_t *block = buf_reserve(&tar, 512);
    memset(block, 0, 512);
    memcpy(block, attributes, sizeof attributes - 1);
    buf_added(&tar, 512);
    raw_header(&tar, "item", '0', map);
    char *lines = (char *)buf_reserve(&tar, map);
    size_t first = (size_t)snprintf(lines, map, "90000000\n");
    for (size_t i = first; i < map; i++)
        lines[i] = (i - first) % 2 == 0 ? '0' : '\n';
    buf_added(&tar, map);
    struct feed feed = {.tar = &tar, .step = 65536};
    assert_true(unpack(&feed, &err) < 0);
    assert_non_null(strstr(err.message, "too large"));
    assert_true(feed.at <= CP_HEADER_MAX + 2 * feed.step);
    assert_int_equal(path_remove(inside, NULL), 0);
}

static int setup(void **state)
{
    (void)state;
    strcpy(top, "/tmp/vmdeck-cp-XXXXXX");
    if (mkdtemp(top) == NULL)
        return -1;
    snprintf(inside, sizeof inside, "%s/inside", top);
    CLEAN_FREE char *victim = str_printf("%s/victim", top);
    return path_write(victim, 0600, "untouched", 9, NULL);
}

static int teardown(void **state)
{
    (void)state;
    return path_remove(top, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile),    cmocka_unit_test(test_honest),
        cmocka_unit_test(test_cut_off),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_sparse_map),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
