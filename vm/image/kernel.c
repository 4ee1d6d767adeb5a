/*
 * The kernel's Documentation/arch/x86/boot.rst, protocol 2.08 and above: at 0x1f1 the number of
 * setup sectors, at 0x248 and 0x24c where behind them the compressed vmlinux lies. libarchive
 * tells the compressions apart. The PVH entry is an ELF note (type 18, "Xen", the kernel's
 * include/xen/interface/elfnote.h).
 */
#include "vm/image/kernel.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/frame.h"
#include "vm/image/libarchive.h"

#define XEN_PHYS32_ENTRY 18

static bool notes_have_pvh(const uint8_t *notes, size_t size)
{
    while (size >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        memcpy(&note, notes, sizeof note);
        size_t name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
        size_t desc = ((size_t)note.n_descsz + 3) & ~(size_t)3;
        notes += sizeof note;
        size -= sizeof note;
        if (name > size || desc > size - name)
            return false;
        if (note.n_type == XEN_PHYS32_ENTRY && note.n_namesz == 4 && memcmp(notes, "Xen", 4) == 0)
            return true;
        notes += name + desc;
        size -= name + desc;
    }
    return false;
}

bool kernel_has_pvh(const uint8_t *elf, size_t size)
{
    Elf64_Ehdr header;
    if (size < sizeof header)
        return false;
    memcpy(&header, elf, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_machine != EM_X86_64 || header.e_phentsize != sizeof(Elf64_Phdr))
        return false;
    for (size_t i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        uint64_t at = header.e_phoff + i * sizeof segment;
        if (at > size || size - at < sizeof segment)
            return false;
        memcpy(&segment, elf + at, sizeof segment);
        if (segment.p_type == PT_NOTE && segment.p_offset <= size &&
            segment.p_filesz <= size - segment.p_offset &&
            notes_have_pvh(elf + segment.p_offset, segment.p_filesz))
            return true;
    }
    return false;
}

static int payload_read(struct archive *archive, struct buf *out, struct error *err)
{
    struct archive_entry *entry;
    if (libarchive.read_next_header(archive, &entry) != ARCHIVE_OK)
        return error_set(err, ENOTSUP, "the kernel's compression is not known");
    for (;;) {
        uint8_t *room = buf_reserve(out, 1 << 20);
        if (room == NULL)
            return error_set(err, ENOMEM, "out of memory");
        la_ssize_t got = libarchive.read_data(archive, room, 1 << 20);
        if (got < 0)
            return error_set(err, EBADMSG, "the kernel is damaged: %s",
                             libarchive.error_string(archive));
        if (got == 0)
            return 0;
        buf_added(out, (size_t)got);
        if (buf_len(out) > KERNEL_SIZE_MAX)
            return error_set(err, EBADMSG, "the kernel is larger than %u MiB",
                             KERNEL_SIZE_MAX >> 20);
    }
}

static int payload_unpack(const uint8_t *payload, size_t size, struct buf *out, struct error *err)
{
    int rc = libarchive_load(err);
    if (rc < 0)
        return rc;
    struct archive *archive = libarchive.read_new();
    if (archive == NULL)
        return error_set(err, ENOMEM, "out of memory");
    libarchive.read_support_filter_all(archive);
    libarchive.read_support_format_raw(archive);
    rc = libarchive.read_open_memory(archive, payload, size) == ARCHIVE_OK
             ? payload_read(archive, out, err)
             : error_set(err, ENOTSUP, "the kernel's compression is not known");
    libarchive.read_free(archive);
    return rc;
}

int kernel_unpack(const uint8_t *image, size_t size, struct buf *out, struct error *err)
{
    if (size < 0x250 || memcmp(image + 0x202, "HdrS", 4) != 0 || get_u16(image + 0x206) < 0x208)
        return error_set(err, ENOTSUP, "the kernel is no bzImage");
    uint64_t setup = image[0x1f1] != 0 ? image[0x1f1] : 4;
    uint64_t start = (setup + 1) * 512 + get_u32(image + 0x248);
    uint64_t length = get_u32(image + 0x24c);
    /* its last four bytes are the unpacked size, which is no part of the compressed stream */
    if (length < 4 || start > size || length > size - start)
        return error_set(err, EBADMSG, "the kernel is cut short");
    int rc = payload_unpack(image + start, (size_t)length - 4, out, err);
    if (rc < 0)
        return rc;
    if (!kernel_has_pvh(buf_data(out), buf_len(out)))
        return error_set(err, ENOTSUP, "the kernel has no PVH entry");
    return 0;
}
