/* cpio archives as libarchive reads them, the modules' order, and what a kernel file is. */
#include "unit.h"

#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "vm/image/initramfs.h"
#include "vm/image/kernel.h"

static void test_cpio(void **state)
{
    (void)state;
    static char odd[4099];
    memset(odd, 'o', sizeof odd);
    const struct cpio_entry entries[] = {
        {.name = "dev", .mode = S_IFDIR | 0755},
        {.name = "dev/console", .mode = S_IFCHR | 0600, .major = 5, .minor = 1},
        {.name = "empty", .mode = S_IFREG | 0600},
        {.name = "a", .mode = S_IFREG | 0644, .data = "1", .size = 1},
        {.name = "ab", .mode = S_IFREG | 0644, .data = "12", .size = 2},
        {.name = "abc", .mode = S_IFREG | 04755, .data = odd, .size = sizeof odd},
        {.name = "after", .mode = S_IFREG | 0644, .data = "end", .size = 3},
    };
    CLEAN_BUF struct buf out = {0};
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        assert_int_equal(cpio_add(&out, &entries[i]), 0);
    assert_int_equal(cpio_end(&out), 0);
    assert_int_equal(buf_len(&out) % 4, 0);
    struct archive *archive = archive_read_new();
    archive_read_support_format_cpio(archive);
    assert_int_equal(archive_read_open_memory(archive, buf_data(&out), buf_len(&out)), 0);
    struct archive_entry *entry;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
        assert_string_equal(archive_entry_pathname(entry), entries[i].name);
        assert_int_equal(archive_entry_mode(entry), entries[i].mode);
        assert_int_equal(archive_entry_size(entry), entries[i].size);
        assert_int_equal(archive_entry_rdevmajor(entry), entries[i].major);
        assert_int_equal(archive_entry_rdevminor(entry), entries[i].minor);
        CLEAN_FREE char *data = calloc(1, sizeof odd);
        assert_int_equal(archive_read_data(archive, data, sizeof odd), entries[i].size);
        if (entries[i].size > 0)
            assert_memory_equal(data, entries[i].data, entries[i].size);
    }
    assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_EOF);
    archive_read_free(archive);
}

static void test_closure(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        const char *order; /* "boot… | late…" */
    } rows[] = {
        {"", 0, "| "},
        {"k/other.ko: k/virtio_ring.ko\nk/virtio_ring.ko:\n", 0, "| "},
        {"k/fuse.ko:\nk/virtio_blk.ko: k/virtio.ko k/virtio_ring.ko\n"
         "k/virtio.ko: k/virtio_ring.ko\nk/virtio_ring.ko:\n",
         0, "k/virtio_ring.ko k/virtio.ko k/virtio_blk.ko | k/fuse.ko "},
        {"d/virtio-rng.ko:\nk/my_virtio_rng.ko:\nk/virtio_rngs.ko:\n", 0, "d/virtio-rng.ko | "},
        {"d/overlay.ko.xz:", 0, "| d/overlay.ko.xz "},
        {"a/fuse.ko: a/missing.ko\n", -EINVAL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_MODULES struct module_list list = {0};
        assert_int_equal(module_closure(rows[i].text, &list, NULL), rows[i].rc);
        CLEAN_BUF struct buf order = {0};
        for (size_t m = 0; rows[i].rc == 0 && m <= list.paths.count; m++) {
            if (m == list.boot)
                assert_int_equal(buf_printf(&order, "| "), 0);
            if (m < list.paths.count)
                assert_int_equal(buf_printf(&order, "%s ", list.paths.items[m]), 0);
        }
        if (rows[i].order != NULL)
            assert_string_equal(buf_string(&order), rows[i].order);
    }
}

/* Modules that need each other in a ring, and a chain without end: refused, not followed. */
static void test_closure_deep(void **state)
{
    (void)state;
    CLEAN_BUF struct buf text = {0};
    assert_int_equal(buf_printf(&text, "k/fuse.ko: k/0.ko\n"), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_printf(&text, "k/%d.ko: k/%d.ko\n", i, i + 1), 0);
    CLEAN_MODULES struct module_list list = {0};
    assert_int_equal(module_closure(buf_string(&text), &list, NULL), -EINVAL);
    assert_int_equal(module_closure("a/fuse.ko: a/b.ko\na/b.ko: a/fuse.ko\n", &list, NULL),
                     -EINVAL);
}

/* The smallest ELF file with a PVH note. */
struct elf {
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    Elf64_Nhdr note;
    char name[4];
    uint32_t entry;
};

static struct elf elf_good(void)
{
    struct elf elf = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64},
                   .e_machine = EM_X86_64,
                   .e_phoff = offsetof(struct elf, segment),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 1},
        .segment = {.p_type = PT_NOTE,
                    .p_offset = offsetof(struct elf, note),
                    .p_filesz = sizeof(struct elf) - offsetof(struct elf, note)},
        .note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18},
        .name = "Xen",
    };
    return elf;
}

/* A bzImage around the gzip'ed ELF file. */
static void bzimage(struct buf *out, const struct elf *elf)
{
    static uint8_t packed[4096];
    size_t used = 0;
    struct archive *archive = archive_write_new();
    archive_write_add_filter_gzip(archive);
    archive_write_set_format_raw(archive);
    archive_write_set_bytes_per_block(archive, 0);
    assert_int_equal(archive_write_open_memory(archive, packed, sizeof packed, &used), 0);
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_filetype(entry, AE_IFREG);
    assert_int_equal(archive_write_header(archive, entry), 0);
    assert_int_equal(archive_write_data(archive, elf, sizeof *elf), sizeof *elf);
    assert_int_equal(archive_write_close(archive), 0);
    archive_entry_free(entry);
    archive_write_free(archive);
    uint8_t head[1024 + 64] = {[0x1f1] = 1, [0x206] = 0x0f, [0x207] = 2, [0x248] = 64};
    memcpy(head + 0x202, "HdrS", 4);
    head[0x24c] = (uint8_t)((used + 4) & 0xff);
    head[0x24d] = (uint8_t)((used + 4) >> 8);
    assert_int_equal(buf_append(out, head, sizeof head), 0);
    assert_int_equal(buf_append(out, packed, used), 0);
    assert_int_equal(buf_append(out, "size", 4), 0);
}

static void test_kernel(void **state)
{
    (void)state;
    struct elf elf = elf_good();
    assert_true(kernel_has_pvh((uint8_t *)&elf, sizeof elf));
    for (size_t cut = 0; cut < sizeof elf; cut++)
        assert_false(kernel_has_pvh((uint8_t *)&elf, cut));
    CLEAN_BUF struct buf image = {0};
    CLEAN_BUF struct buf out = {0};
    bzimage(&image, &elf);
    uint8_t *data = buf_data(&image);
    assert_int_equal(kernel_unpack(data, buf_len(&image), &out, NULL), 0);
    assert_int_equal(buf_len(&out), sizeof elf);
    assert_memory_equal(buf_data(&out), &elf, sizeof elf);
    assert_int_equal(kernel_unpack(data, buf_len(&image) - 1, &out, NULL), -EBADMSG);
    assert_int_equal(kernel_unpack(data, 100, &out, NULL), -ENOTSUP);
    data[0x248] = 255;
    assert_true(kernel_unpack(data, buf_len(&image), &out, NULL) < 0);
    elf.note.n_type = 17;
    CLEAN_BUF struct buf other = {0};
    CLEAN_BUF struct buf nothing = {0};
    bzimage(&other, &elf);
    assert_int_equal(kernel_unpack(buf_data(&other), buf_len(&other), &nothing, NULL), -ENOTSUP);
    elf = elf_good();
    elf.note.n_namesz = UINT32_MAX;
    assert_false(kernel_has_pvh((uint8_t *)&elf, sizeof elf));
    elf = elf_good();
    elf.segment.p_offset = UINT64_MAX - 3;
    assert_false(kernel_has_pvh((uint8_t *)&elf, sizeof elf));
    elf = elf_good();
    elf.header.e_phoff = UINT64_MAX - 3;
    assert_false(kernel_has_pvh((uint8_t *)&elf, sizeof elf));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpio),
        cmocka_unit_test(test_closure),
        cmocka_unit_test(test_closure_deep),
        cmocka_unit_test(test_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
