/* vm/image/archive: a tar archive in, a root file system, a kernel and an initramfs out. */
#include "unit.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "vm/image/archive.h"

#define MODULES "./usr/lib/modules/6.1.0-t/"
#define LONG                                                                                     \
    "a-directory-with-a-name-of-some-length/another-one-that-makes-the-path-too-long-for-ustar/" \
    "and-then-a-third/F\xc5\x91tan\xc3\xbas\xc3\xadtv\xc3\xa1ny"

static const struct {
    const char *path, *content; /* content NULL: a directory */
    const char *hardlink;
} files[] = {
    {"./", NULL, NULL},
    {"./boot/", NULL, NULL},
    {"./boot/System.map", "dropped", NULL},
    {"./boot/vmlinuz-6.1.0-t", "the kernel", NULL},
    {"./etc/hostname", "builder\n", NULL},
    {"./etc/ssh/ssh_host_key", "secret", NULL},
    {"./etc/ssh/sshd_config", "kept", NULL},
    {"./link", NULL, "./etc/ssh/sshd_config"},
    {"./" LONG, "long name", NULL},
    {MODULES "kernel/virtio_blk.ko", "blk", NULL},
    {MODULES "kernel/fuse.ko", "fuse", NULL},
    {MODULES "kernel/unused.ko", "unused", NULL},
    {MODULES "kernel/virtio.ko", "virtio", NULL},
    {MODULES "modules.dep",
     "kernel/virtio_blk.ko: kernel/virtio.ko\nkernel/virtio.ko:\nkernel/fuse.ko:\n", NULL},
};

static const struct archive_override overrides[] = {
    {"etc/hostname", "guest\n"},
    {"etc/ssh/ssh_host_*", NULL},
};

static char directory[64], rootfs[96], tarball[96];

static void tar_write(size_t count)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0); /* only for writing */
    locale_t before = uselocale(utf8);
    struct archive *tar = archive_write_new();
    archive_write_set_format_pax_restricted(tar);
    assert_int_equal(archive_write_open_filename(tar, tarball), 0);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *entry = archive_entry_new();
        const char *content = files[i].content;
        archive_entry_set_pathname(entry, files[i].path);
        archive_entry_set_mode(
            entry, content != NULL || files[i].hardlink != NULL ? S_IFREG | 0644 : S_IFDIR | 0755);
        if (files[i].hardlink != NULL)
            archive_entry_set_hardlink(entry, files[i].hardlink);
        archive_entry_set_size(entry, content != NULL ? (la_int64_t)strlen(content) : 0);
        assert_true(archive_write_header(tar, entry) >= ARCHIVE_WARN);
        if (content != NULL)
            assert_int_equal(archive_write_data(tar, content, strlen(content)), strlen(content));
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(tar), 0);
    archive_write_free(tar);
    uselocale(before);
    freelocale(utf8);
}

static int convert(struct archive_result *result, const volatile int *cancel, struct error *err)
{
    CLEAN_FD int tar = open(tarball, O_RDONLY | O_CLOEXEC);
    assert_true(tar >= 0);
    return archive_convert(
        &(struct archive_job){
            .tar = tar,
            .rootfs = rootfs,
            .overrides = overrides,
            .override_count = ARRAY_SIZE(overrides),
            .cancel = cancel,
        },
        result, err);
}

/* A file of the file system as debugfs shows it; empty where it is not there. */
static void cat(const char *path, struct buf *out)
{
    CLEAN_FREE char *command = str_printf(
        "PATH=$PATH:/usr/sbin:/sbin debugfs -R 'cat \"/%s\"' %s 2>/dev/null", path, rootfs);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t got = fread(buf_reserve(out, 4096), 1, 4096, pipe);
    buf_added(out, got);
    pclose(pipe);
}

static int setup(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/vmdeck-archive-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(rootfs, sizeof rootfs, "%s/rootfs", directory);
    snprintf(tarball, sizeof tarball, "%s/tar", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return path_remove(directory, NULL);
}

static void test_convert(void **state)
{
    (void)state;
    tar_write(ARRAY_SIZE(files));
    CLEAN_ARCHIVE_RESULT struct archive_result result = {0};
    struct error err = {0};
    int rc = convert(&result, NULL, &err);
    if (rc != 0)
        print_error("%s\n", err.message);
    assert_int_equal(rc, 0);
    assert_string_equal(buf_string(&result.kernel), "the kernel");
    assert_string_equal(result.kernel_version, "6.1.0-t");
    static const struct {
        const char *path, *content;
    } rows[] = {
        {"etc/hostname", "guest\n"},
        {"etc/ssh/ssh_host_key", ""},
        {"etc/ssh/sshd_config", "kept"},
        {"link", "kept"},
        {LONG, "long name"},
        {"boot/vmlinuz-6.1.0-t", ""},
        {"boot/System.map", ""},
        {"usr/lib/modules/6.1.0-t/kernel/fuse.ko", "fuse"},
        {"usr/lib/modules/6.1.0-t/kernel/unused.ko", "unused"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_BUF struct buf out = {0};
        cat(rows[i].path, &out);
        assert_string_equal(buf_string(&out), rows[i].content);
    }
}

static void test_initramfs(void **state)
{
    (void)state;
    tar_write(ARRAY_SIZE(files));
    CLEAN_ARCHIVE_RESULT struct archive_result result = {0};
    assert_int_equal(convert(&result, NULL, NULL), 0);
    static const struct {
        const char *path, *content;
    } rows[] = {
        {"lib", NULL},
        {"lib/modules", NULL},
        {"lib/modules/6.1.0-t", NULL},
        {"lib/modules/6.1.0-t/kernel", NULL},
        {"lib/modules/6.1.0-t/kernel/virtio.ko", "virtio"},
        {"lib/modules/6.1.0-t/kernel/virtio_blk.ko", "blk"},
        {"lib/modules/6.1.0-t/kernel/fuse.ko", "fuse"},
        {"vmdeck", NULL},
        {"vmdeck/modules", "boot /lib/modules/6.1.0-t/kernel/virtio.ko\n"
                           "boot /lib/modules/6.1.0-t/kernel/virtio_blk.ko\n"
                           "late /lib/modules/6.1.0-t/kernel/fuse.ko\n"},
    };
    struct archive *cpio = archive_read_new();
    archive_read_support_format_cpio(cpio);
    assert_int_equal(
        archive_read_open_memory(cpio, buf_data(&result.initramfs), buf_len(&result.initramfs)), 0);
    struct archive_entry *entry;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char data[1024] = "";
        assert_int_equal(archive_read_next_header(cpio, &entry), ARCHIVE_OK);
        assert_string_equal(archive_entry_pathname(entry), rows[i].path);
        assert_int_equal(archive_entry_filetype(entry), rows[i].content ? AE_IFREG : AE_IFDIR);
        assert_true(archive_read_data(cpio, data, sizeof data - 1) >= 0);
        assert_string_equal(data, rows[i].content != NULL ? rows[i].content : "");
    }
    assert_int_equal(archive_read_next_header(cpio, &entry), ARCHIVE_EOF);
    archive_read_free(cpio);
}

static void test_damaged(void **state)
{
    (void)state;
    CLEAN_ARCHIVE_RESULT struct archive_result result = {0};
    struct error err = {0};
    tar_write(ARRAY_SIZE(files));
    int cancel = 1;
    assert_int_equal(convert(&result, &cancel, &err), -ECANCELED);
    /* in the middle of a file's data, and of a header */
    static const off_t cuts[] = {512 * 4 + 3, 512 * 5 + 100};
    for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
        tar_write(ARRAY_SIZE(files));
        assert_int_equal(truncate(tarball, cuts[i]), 0);
        assert_int_equal(convert(&result, NULL, &err), -EBADMSG);
    }
    tar_write(10); /* no modules.dep: no modules, which is for the caller to judge */
    assert_int_equal(convert(&result, NULL, NULL), 0);
    assert_null(result.kernel_version);
    assert_int_equal(path_write(tarball, 0600, "no tar archive at all", 21, NULL), 0);
    archive_result_free(&result);
    assert_int_equal(convert(&result, NULL, &err), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_convert, setup, teardown),
        cmocka_unit_test_setup_teardown(test_initramfs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
