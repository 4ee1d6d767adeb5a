/*
 * The machine that QEMU is told to be: its command line. Template, fork and resumed VM must be the
 * same machine to the byte, so this is the only place that knows it.
 */
#ifndef VMDECK_VM_MACHINE_H
#define VMDECK_VM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define MACHINE_LAYERS_MAX 4
#define MACHINE_MEMORY_MAX ((uint64_t)1 << 42)
#define MACHINE_SHAPE_SIZE 33 /* 32 hexadecimal digits and NUL */

/* QEMU's side of the descriptors. */
enum {
    MACHINE_FD_QMP = 3,
    MACHINE_FD_CONSOLE = 4,
    MACHINE_FD_PORT = 5,
    MACHINE_FD_STATE = 6,
    MACHINE_FD_NIC = 7,
    MACHINE_FD_VFS = 8,
};

struct machine {
    const char *binary;          /* path of qemu-system-x86_64 */
    const char *name;            /* of the process, shown by ps */
    const char *kernel, *initrd; /* kernel NULL: nothing is booted, a state is loaded */
    /* The disk, top first: qcow2 files, the first ours to write; the last one is raw. */
    const char *disk[MACHINE_LAYERS_MAX];
    /* A file as large as the memory. Shared: it is the memory; otherwise what it starts with. */
    const char *ram;
    bool ram_shared;
    bool restore;    /* a device state is loaded from MACHINE_FD_STATE; then the VM runs */
    bool stopped;    /* or stands still */
    uint64_t memory; /* bytes */
    unsigned cpus;
    bool kvm;
};

/* -EINVAL: a path or the memory is nothing that QEMU can have. */
int machine_arguments(const struct machine *machine, struct strv *argv, struct error *err);

/*
 * What guest memory and device state depend on besides what was booted and QEMU's version:
 * machine, CPU, memory, kernel parameters.
 */
int machine_shape(const struct machine *machine, char shape[MACHINE_SHAPE_SIZE], struct error *err);

#endif
