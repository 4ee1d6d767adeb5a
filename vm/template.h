/*
 * Templates: VMs that were booted once and stopped when their agent had nothing left to do, for
 * forks to start from. The cache is
 *
 *     $XDG_CACHE_HOME/vmdeck/templates/<key>/{ram,state,disk.qcow2,lock}
 *
 * A template never changes once it is there: it is made beside and renamed into place. Whoever uses
 * one holds its lock shared; what is not held may be removed to make room. A template holds nothing
 * of a session.
 */
#ifndef VMDECK_VM_TEMPLATE_H
#define VMDECK_VM_TEMPLATE_H

#include <uv.h>

#include "base/error.h"
#include "vm/machine.h"

#define TEMPLATE_KEY_SIZE  33
#define TEMPLATES_SIZE_MAX ((uint64_t)4 << 30) /* bytes on disk; beyond it the least used go */

/* What a template is made of and for. Paths belong to the caller. */
struct template_spec {
    struct machine machine; /* kernel, initrd, memory, cpus, kvm, binary */
    const char *image_id;
    const char *rootfs;
    uint64_t disk_size;
    const char *trust; /* PEM of an authority that its guest trusts; may be NULL */
};

/* -errno where QEMU's binary cannot be looked at. */
int template_key(const struct template_spec *spec, char key[TEMPLATE_KEY_SIZE], struct error *err);

struct template
{
    char *ram, *disk;    /* disk: of a template that was booted; a snapshot's has none */
    int ram_fd, disk_fd; /* the same, open for reading: whatever happens to the names; or -1 */
    int state;           /* the device state */
    int hold;
};

/* Opens and holds a template, and notes that it was used. -ENOENT: there is none. */
int template_open(const char *key, struct template *out, struct error *err);
void template_close(struct template *template); /* a zeroed one is fine */

/*
 * Makes a template of a snapshot's memory and device state, unless it is there already: what a
 * resumed VM starts from. The disk of such a template is the snapshot itself. Blocks; for a worker
 * thread. *found: it was there. -EBADMSG: a section is damaged.
 */
struct snapfile;
int template_restore(const struct snapfile *file, const char *key, uint64_t memory,
                     const volatile int *cancel, bool *found, struct error *err);

/*
 * A template that does not work: gone for whoever comes next; those who use it keep it. With
 * `which`, only if it still is that one that is there.
 */
void template_discard(const char *key, const struct template *which);

/*
 * Makes the template of that key, or waits for whoever is making it. `done` (why->code 0: it is
 * there) comes from the loop, once. The spec is used until then.
 */
struct template_build;
int template_build(struct template_build **out, uv_loop_t *loop, const struct template_spec *spec,
                   const char *key, void (*done)(void *context, const struct error *why),
                   void *context, struct error *err);

/* Frees it; before `done`: stops it, leaving nothing behind, and `done` does not come. */
void template_build_close(struct template_build *build);

#endif
