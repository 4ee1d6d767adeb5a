/*
 * One QEMU process: its command line, its confinement, its end. Everything on the loop's thread.
 */
#ifndef VMDECK_VM_QEMU_H
#define VMDECK_VM_QEMU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/buf.h"
#include "base/error.h"
#include "vm/machine.h"
#include "vm/qmp.h"

struct qemu_events {
    /*
     * QEMU has ended; *why says how, in one line (code ENOENT…EIO; ESHUTDOWN when the guest
     * powered off or qemu_stop() was called). Then only qemu_close() is left.
     */
    void (*ended)(void *context, const struct error *why);
    void (*event)(void *context, const char *name, const cJSON *data); /* QMP events */
    void (*restored)(void *context); /* a machine that was to stand still has its state */
};

struct qemu;

/* Finds the emulator. -ENOENT with what to install. The caller frees *path. */
int qemu_find(const char *arch, char **path, struct error *err);

/* `state` stays the caller's: the device state where machine->restore is set, otherwise -1. */
int qemu_start(struct qemu **out, uv_loop_t *loop, const struct machine *machine, int state,
               const struct qemu_events *events, void *context, struct error *err);

/* The descriptor of the agent's port; the caller owns it from now on. Once only. */
int qemu_take_port(struct qemu *qemu);

/*
 * The other end of the VM's network cable, a stream socket that carries each Ethernet frame behind
 * its length (u32, big endian); the caller owns it from now on. Once only. When it is closed the VM
 * has no link any more, whatever becomes of the frames it sends.
 */
int qemu_take_nic(struct qemu *qemu);

/*
 * The same for the file systems' port. It stays open here while nobody takes it: a port whose host
 * end is closed keeps the guest busy.
 */
int qemu_take_vfs(struct qemu *qemu);

struct qmp *qemu_qmp(struct qemu *qemu);
pid_t qemu_pid(const struct qemu *qemu);

/* The last lines of the serial console, for an error message. */
void qemu_console(const struct qemu *qemu, size_t lines, struct buf *out);

/*
 * Writes the state of the devices (not the memory) of a VM that stands still into a new file
 * `path`; `done` as for qmp_run(). For MACHINE_FD_STATE.
 */
void qemu_save_devices(struct qemu *qemu, const char *path, qmp_done *done, void *context);

/* Kills it at once; `ended` comes. */
void qemu_abort(struct qemu *qemu);

/* SIGTERM, and SIGKILL if it is not gone QEMU_GRACE_MS later; `ended` comes. */
#define QEMU_GRACE_MS 2000
void qemu_stop(struct qemu *qemu);

/* Kills what is left, without callbacks; the process has been reaped on return. NULL is fine. */
void qemu_close(struct qemu *qemu);

#endif
