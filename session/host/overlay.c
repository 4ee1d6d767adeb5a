/*
 * By QMP (docs/interop/live-block-operations.rst): blockdev-snapshot puts a file on top;
 * block-commit of the top copies it into the file below while the guest goes on, and when it is
 * through (BLOCK_JOB_READY) QEMU is told to change over to that. The bottom of what is the
 * session's own has the node name "root", the others "root<n>".
 */
#include "session/host/overlay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "vm/disk.h"

#define JOB "commit"

static void overlay_end(struct vm *vm, const struct error *why)
{
    static const struct error none;
    overlay_done *done = vm->overlay_done;
    if (done == NULL)
        return;
    vm->overlay_done = NULL;
    done(vm->overlay_context, why != NULL ? why : &none);
}

static struct qmp *overlay_qmp(struct vm *vm)
{
    return qemu_qmp(vm->host->qemu);
}

static void on_frozen(void *context, const cJSON *result, const struct error *why)
{
    struct vm *vm = context;
    if (result == NULL) {
        unlink(vm->overlay);
        overlay_end(vm, why);
        return;
    }
    snprintf(vm->top, sizeof vm->top, "root%u", vm->node);
    if (strv_add(&vm->layers, vm->overlay) < 0)
        log_warn(LOG_HOST, "out of memory: snapshots of this session are no longer possible");
    overlay_end(vm, NULL);
}

static void on_added(void *context, const cJSON *result, const struct error *why)
{
    struct vm *vm = context;
    if (result == NULL) {
        unlink(vm->overlay);
        overlay_end(vm, why);
        return;
    }
    CLEAN_FREE char *node = str_printf("root%u", vm->node);
    cJSON *arguments = cJSON_CreateObject();
    cJSON_AddStringToObject(arguments, "node", vm->top);
    cJSON_AddStringToObject(arguments, "overlay", node);
    qmp_run(overlay_qmp(vm), "blockdev-snapshot", arguments, on_frozen, vm);
}

static cJSON *overlay_blockdev(const struct vm *vm)
{
    CLEAN_FREE char *node = str_printf("root%u", vm->node);
    cJSON *arguments = cJSON_CreateObject();
    cJSON_AddStringToObject(arguments, "driver", "qcow2");
    cJSON_AddStringToObject(arguments, "node-name", node);
    cJSON_AddStringToObject(arguments, "discard", "unmap");
    cJSON_AddNullToObject(arguments, "backing");
    cJSON *cache = cJSON_AddObjectToObject(arguments, "cache");
    cJSON_AddTrueToObject(cache, "no-flush");
    cJSON *file = cJSON_AddObjectToObject(arguments, "file");
    cJSON_AddStringToObject(file, "driver", "file");
    cJSON_AddStringToObject(file, "filename", vm->overlay);
    cJSON_AddStringToObject(file, "discard", "unmap");
    cJSON_AddItemToObject(file, "cache", cJSON_Duplicate(cache, true));
    return arguments;
}

void overlay_add(struct vm *vm, overlay_done *done, void *context)
{
    struct error err = {0};
    vm->overlay_done = done;
    vm->overlay_context = context;
    free(vm->overlay);
    vm->overlay = vm_file(vm, "disk");
    vm->node++;
    int rc = vm->layers.count >= VM_LAYERS_MAX - 1
                 ? error_set(&err, EMFILE, "the disk has %zu overlays already", vm->layers.count)
             : vm->overlay == NULL
                 ? error_set(&err, ENOMEM, "out of memory")
                 : disk_create_overlay(vm->overlay, vm->layers.items[vm->layers.count - 1], "qcow2",
                                       vm->spec.disk_size, &err);
    if (rc < 0)
        overlay_end(vm, &err);
    else
        qmp_run(overlay_qmp(vm), "blockdev-add", overlay_blockdev(vm), on_added, vm);
}

/* The added files are empty husks now. */
static void on_deleted(void *context, const cJSON *result, const struct error *why)
{
    struct vm *vm = context;
    if (result == NULL)
        log_debug(LOG_QEMU, "blockdev-del: %s", why->message);
    while (vm->layers.count > vm->own + 1) {
        char *path = vm->layers.items[--vm->layers.count];
        vm->layers.items[vm->layers.count] = NULL;
        unlink(path);
        free(path);
    }
    overlay_end(vm, NULL);
}

static void on_committing(void *context, const cJSON *result, const struct error *why)
{
    if (result == NULL)
        overlay_end(context, why); /* the files stay apart, which costs a little speed */
}

void overlay_commit(struct vm *vm, overlay_done *done, void *context)
{
    vm->overlay_done = done;
    vm->overlay_context = context;
    if (vm->layers.count <= vm->own + 1) {
        overlay_end(vm, NULL);
        return;
    }
    cJSON *arguments = cJSON_CreateObject();
    cJSON_AddStringToObject(arguments, "job-id", JOB);
    cJSON_AddStringToObject(arguments, "device", vm->top);
    cJSON_AddStringToObject(arguments, "base-node", "root");
    qmp_run(overlay_qmp(vm), "block-commit", arguments, on_committing, vm);
}

static cJSON *argument(const char *name, const char *value)
{
    cJSON *arguments = cJSON_CreateObject();
    cJSON_AddStringToObject(arguments, name, value);
    return arguments;
}

void overlay_event(struct vm *vm, const char *name, const cJSON *data)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(data, "error");
    struct error why = {0};
    if (strcmp(name, "BLOCK_JOB_READY") == 0) {
        qmp_run(overlay_qmp(vm), "block-job-complete", argument("device", JOB), NULL, NULL);
    } else if (strcmp(name, "BLOCK_JOB_COMPLETED") == 0 && cJSON_IsString(error)) {
        error_set(&why, EIO, "the disk's overlays stay apart: %s", error->valuestring);
        overlay_end(vm, &why);
    } else if (strcmp(name, "BLOCK_JOB_COMPLETED") == 0) {
        cJSON *top = argument("node-name", vm->top);
        snprintf(vm->top, sizeof vm->top, "root");
        qmp_run(overlay_qmp(vm), "blockdev-del", top, on_deleted, vm);
    }
}
