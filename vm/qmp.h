/*
 * A client of QEMU's machine protocol (docs/interop/qmp-spec.txt) on a connected descriptor.
 * Everything on the loop's thread. QEMU is half trusted: lines are limited to QMP_LINE_MAX.
 */
#ifndef VMDECK_VM_QMP_H
#define VMDECK_VM_QMP_H

#include <cjson/cJSON.h>
#include <uv.h>

#include "base/error.h"

#define QMP_LINE_MAX ((size_t)1 << 20)

struct qmp;

struct qmp_events {
    void (*event)(void *context, const char *name, const cJSON *data);
    void (*ended)(void *context, const struct error *why); /* then only qmp_close() is left */
};

/* `result` is the command's "return", or NULL with *why set. Called once per qmp_run(). */
typedef void qmp_done(void *context, const cJSON *result, const struct error *why);

/* Takes fd over, also on failure. Capabilities are negotiated first; commands may be sent at once.
 */
int qmp_open(struct qmp **out, uv_loop_t *loop, int fd, const struct qmp_events *events,
             void *context, struct error *err);

/* `arguments` (may be NULL) is taken over. `done` may be NULL. Answers come in order. */
void qmp_run(struct qmp *qmp, const char *command, cJSON *arguments, qmp_done *done, void *context);

/* What QEMU calls its version, "" before its greeting; valid until qmp_close(). */
const char *qmp_version(const struct qmp *qmp);

/* Commands that wait are answered with ECANCELED first. NULL is fine. */
void qmp_close(struct qmp *qmp);

#endif
