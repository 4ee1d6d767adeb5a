/*
 * The session's VM: from configuration to a guest that answers, and its files on the host. Part
 * of the session host; everything on its loop.
 */
#ifndef VMDECK_SESSION_HOST_VM_H
#define VMDECK_SESSION_HOST_VM_H

#include "session/host/host.h"
#include "vm/snapfile.h"
#include "vm/template.h"

#define VM_LAYERS_MAX 32 /* a running VM's overlays, each made by a snapshot that let it run on */

struct vm {
    struct host *host;
    void (*ready)(struct host *host);
    void (*ended)(struct host *host, const struct error *why);
    struct template_spec spec;
    char shape[MACHINE_SHAPE_SIZE];
    char *binary, *initrd, *name, *ram;
    char *trust; /* what the template's guest trusts already */
    int ram_fd;  /* what the memory started as: the template's, or our own `ram` */
    char key[TEMPLATE_KEY_SIZE];
    struct template template;
    struct template_build *build;
    struct snapfile *snapshot; /* that it is resumed from; its file stays open, moved or not */
    struct strv layers;        /* the disk's qcow2 files, from the bottom to the top */
    size_t own;                /* index in it of the first one that the guest has written */
    unsigned files;            /* counts names */
    /* overlay.c's */
    void (*overlay_done)(void *context, const struct error *why);
    void *overlay_context;
    char *overlay;
    char top[24]; /* node name of the uppermost layer */
    unsigned node;
    bool forked;         /* from a template */
    bool up;             /* the guest has been ready */
    bool cached;         /* the snapshot's memory was in the cache, and may be damaged there */
    struct error broken; /* why the fork did not work */
    uv_timer_t retry;    /* boots instead, from no callback of what it frees */
    uv_work_t work;      /* a snapshot is being read */
    bool working, closed;
    volatile int cancel;
};

/* Makes the session's directory, overlay and QEMU; `ready` and `ended` are called later. */
int vm_start(struct host *host, void (*ready)(struct host *host),
             void (*ended)(struct host *host, const struct error *why), struct error *err);

/* A spare's VM, which stands still, goes on as that of a session; `ready` comes again. */
int vm_wake(struct host *host, struct error *err);

/* The manifest of the snapshot that the VM is resumed from with its memory, or NULL. */
const cJSON *vm_resumed(const struct host *host);

/* A file name in the session's directory that was not used before; the caller frees it. */
char *vm_file(struct vm *vm, const char *stem);

/* Kills QEMU if it is alive, and removes every file of the session. */
void vm_clean(struct host *host);

/* Waits until QEMU's process is no more. After vm_clean(), before the loop polls again. */
void vm_bury(struct host *host);

#endif
