/*
 * What the agent needs of the kernel's modules is a table of names; those that a kernel does not
 * have as modules are taken to be built in. modules.dep (kmod's depmod(8)) has a line
 * "path: path…" per module with all that it needs; the order among those is found by visiting
 * them depth first.
 */
#include "vm/image/initramfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define CPIO_HEADER_SIZE 110
#define MODULE_DEPTH_MAX 64

static const struct {
    const char *name; /* as lsmod shows it: '_' for '-' */
    bool boot;
} wanted[] = {
    {"virtio_pci", true}, {"virtio_mmio", true}, {"virtio_console", true},
    {"virtio_blk", true}, {"virtio_rng", true},  {"ext4", true},
    {"virtio_net", true}, {"fuse", false},       {"overlay", false},
};

int cpio_add(struct buf *out, const struct cpio_entry *entry)
{
    static const uint8_t zeroes[4];
    size_t name_size = strlen(entry->name) + 1;
    bool device = S_ISCHR(entry->mode) || S_ISBLK(entry->mode);
    size_t start = buf_len(out);
    /* magic ino mode uid gid nlink mtime filesize dev(2) rdev(2) namesize check */
    int rc = buf_printf(out, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 0u,
                        (unsigned)entry->mode, 0u, 0u, 1u, 0u, entry->size, 0u, 0u,
                        device ? entry->major : 0u, device ? entry->minor : 0u, name_size, 0u);
    if (rc == 0)
        rc = buf_append(out, entry->name, name_size);
    if (rc == 0)
        rc = buf_append(out, zeroes, (start - buf_len(out)) & 3);
    if (rc == 0 && entry->size > 0)
        rc = buf_append(out, entry->data, entry->size);
    if (rc == 0)
        rc = buf_append(out, zeroes, (start - buf_len(out)) & 3);
    return rc;
}

int cpio_end(struct buf *out)
{
    return cpio_add(out, &(struct cpio_entry){.name = "TRAILER!!!"});
}

/* Whether the path's last part without ".ko…" is the name, '-' and '_' being the same. */
static bool module_is(const char *path, size_t length, const char *name)
{
    const char *base = memrchr(path, '/', length);
    base = base != NULL ? base + 1 : path;
    const char *end = path + length;
    for (; *name != '\0'; name++, base++)
        if (base == end || (*base == '-' ? '_' : *base) != *name)
            return false;
    return end - base >= 3 && memcmp(base, ".ko", 3) == 0;
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return line + (*line == '\n');
}

/* The line "path: …" of a module, found by its whole path or by its name. */
static const char *dep_line(const char *text, const char *path, size_t length, const char *name)
{
    for (const char *line = text; *line != '\0'; line = next_line(line)) {
        size_t key = strcspn(line, ":\n");
        if (line[key] == ':' && (name != NULL ? module_is(line, key, name)
                                              : key == length && memcmp(line, path, key) == 0))
            return line;
    }
    return NULL;
}

static bool module_listed(const struct module_list *list, const char *path, size_t length)
{
    for (size_t i = 0; i < list->paths.count; i++)
        if (strlen(list->paths.items[i]) == length &&
            memcmp(list->paths.items[i], path, length) == 0)
            return true;
    return false;
}

/* The module of this line, behind what it needs. */
static int module_visit(const char *text, const char *line, struct module_list *list, int depth,
                        struct error *err)
{
    size_t key = strcspn(line, ":\n");
    if (module_listed(list, line, key))
        return 0;
    if (depth > MODULE_DEPTH_MAX)
        return error_set(err, EINVAL, "modules.dep: modules need each other");
    const char *end = line + strcspn(line, "\n");
    for (const char *p = line + key + 1; p < end;) {
        p += strspn(p, " ");
        size_t length = strcspn(p, " \n");
        const char *needed = length > 0 ? dep_line(text, p, length, NULL) : NULL;
        if (length > 0 && needed == NULL)
            return error_set(err, EINVAL, "modules.dep: '%.*s' is needed but not listed",
                             (int)length, p);
        int rc = needed != NULL ? module_visit(text, needed, list, depth + 1, err) : 0;
        if (rc < 0)
            return rc;
        p += length;
    }
    if (strv_addf(&list->paths, "%.*s", (int)key, line) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

int module_closure(const char *modules_dep, struct module_list *out, struct error *err)
{
    *out = (struct module_list){0};
    int rc = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && rc == 0; i++) {
        const char *line = dep_line(modules_dep, "", 0, wanted[i].name);
        if (line != NULL)
            rc = module_visit(modules_dep, line, out, 0, err);
        if (wanted[i].boot)
            out->boot = out->paths.count;
    }
    if (rc < 0)
        module_list_free(out);
    return rc;
}

void module_list_free(struct module_list *list)
{
    strv_free(&list->paths);
    *list = (struct module_list){0};
}
