/*
 * The initramfs: cpio archives in the kernel's "newc" format (its Documentation/driver-api/
 * early-userspace/buffer-format.rst), and which modules go into it.
 *
 * The file /vmdeck/modules in it has one line per module in an order in which they load:
 *     boot /lib/modules/<ver>/…   before the root can be mounted and the control port opened
 *     late /lib/modules/<ver>/…   whenever there is time
 */
#ifndef VMDECK_VM_IMAGE_INITRAMFS_H
#define VMDECK_VM_IMAGE_INITRAMFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* A file of an archive; type and permissions in mode. */
struct cpio_entry {
    const char *name; /* without a leading '/' */
    mode_t mode;
    uint32_t major, minor; /* of a device */
    const void *data;
    size_t size;
};

/* Both 0 or -ENOMEM. The trailer is followed by zeroes up to a multiple of 4, so that another
 * archive may follow. */
int cpio_add(struct buf *out, const struct cpio_entry *entry);
int cpio_end(struct buf *out);

/* Modules to load; paths as in modules.dep, relative to its directory. */
struct module_list {
    struct strv paths;
    size_t boot; /* the first so many are needed for the root and the control port */
};

/*
 * From modules.dep's text: the agent's modules that the kernel has, each behind what it needs.
 * -EINVAL for a text that is no modules.dep.
 */
int module_closure(const char *modules_dep, struct module_list *out, struct error *err);
void module_list_free(struct module_list *list);
#define CLEAN_MODULES __attribute__((cleanup(module_list_free)))

#endif
