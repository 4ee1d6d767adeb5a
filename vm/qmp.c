/*
 * One JSON object a line in both directions. QEMU answers commands in the order it got them, so
 * the waiting ones are a queue and need no ids. Commands are few and short: they are written with
 * the descriptor in non-blocking mode and kept in a buffer when QEMU is busy.
 */
#include "vm/qmp.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"

struct qmp_command {
    struct qmp_command *next;
    qmp_done *done;
    void *context;
};

struct qmp {
    uv_poll_t poll;
    int fd;
    struct qmp_events events;
    void *context;
    struct buf in, out;
    struct qmp_command *first, **last;
    bool greeted, ended, closed;
    char version[128];
};

static void qmp_poll(uv_poll_t *poll, int status, int events);

static void qmp_note_version(struct qmp *qmp, const cJSON *greeting)
{
    static const char *const parts[] = {"major", "minor", "micro"};
    int numbers[3] = {0};
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(greeting, "version");
    const cJSON *qemu = cJSON_GetObjectItemCaseSensitive(version, "qemu");
    const cJSON *package = cJSON_GetObjectItemCaseSensitive(version, "package");
    for (size_t i = 0; i < 3; i++) {
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(qemu, parts[i]);
        numbers[i] = cJSON_IsNumber(number) ? number->valueint : 0;
    }
    snprintf(qmp->version, sizeof qmp->version, "%d.%d.%d%s%s", numbers[0], numbers[1], numbers[2],
             cJSON_IsString(package) && package->valuestring[0] != '\0' ? " " : "",
             cJSON_IsString(package) ? package->valuestring : "");
}

static void qmp_answer(struct qmp *qmp, const cJSON *result, const struct error *why)
{
    struct qmp_command *command = qmp->first;
    if (command == NULL)
        return;
    qmp->first = command->next;
    if (qmp->first == NULL)
        qmp->last = &qmp->first;
    if (command->done != NULL)
        command->done(command->context, result, why);
    free(command);
}

static void qmp_end(struct qmp *qmp, int code, const char *what)
{
    if (qmp->ended || qmp->closed)
        return;
    qmp->ended = true;
    uv_poll_stop(&qmp->poll);
    struct error why = {0};
    error_set(&why, code, "QMP: %s", what);
    while (qmp->first != NULL && !qmp->closed)
        qmp_answer(qmp, NULL, &why);
    if (!qmp->closed)
        qmp->events.ended(qmp->context, &why);
}

static void qmp_flush(struct qmp *qmp)
{
    while (buf_len(&qmp->out) > 0) {
        ssize_t put = send(qmp->fd, buf_data(&qmp->out), buf_len(&qmp->out), MSG_NOSIGNAL);
        if (put < 0)
            break; /* a real error shows up as the end of reading */
        buf_consume(&qmp->out, (size_t)put);
    }
    if (!qmp->ended && !qmp->closed)
        uv_poll_start(&qmp->poll, buf_len(&qmp->out) > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE,
                      qmp_poll);
}

static void qmp_line(struct qmp *qmp, const char *line, size_t len)
{
    cJSON *message = cJSON_ParseWithLength(line, len);
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(message, "error");
    const cJSON *result = cJSON_GetObjectItemCaseSensitive(message, "return");
    const cJSON *event = cJSON_GetObjectItemCaseSensitive(message, "event");
    log_debug(LOG_QEMU, "qmp < %.*s", (int)(len < 1500 ? len : 1500), line);
    if (message == NULL) {
        qmp_end(qmp, EPROTO, "not JSON");
    } else if (cJSON_IsString(event)) {
        qmp->events.event(qmp->context, event->valuestring,
                          cJSON_GetObjectItemCaseSensitive(message, "data"));
    } else if (error != NULL) {
        const cJSON *text = cJSON_GetObjectItemCaseSensitive(error, "desc");
        struct error why = {0};
        error_set(&why, EIO, "QEMU: %s", cJSON_IsString(text) ? text->valuestring : "error");
        qmp_answer(qmp, NULL, &why);
    } else if (result != NULL) {
        qmp_answer(qmp, result, NULL);
    } else if (!qmp->greeted && cJSON_GetObjectItemCaseSensitive(message, "QMP") != NULL) {
        qmp->greeted = true;
        qmp_note_version(qmp, cJSON_GetObjectItemCaseSensitive(message, "QMP"));
        qmp_flush(qmp);
    }
    cJSON_Delete(message);
}

static void qmp_readable(struct qmp *qmp)
{
    uint8_t *room = buf_reserve(&qmp->in, 65536);
    ssize_t got = room != NULL ? read(qmp->fd, room, 65536) : 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        qmp_end(qmp, EPIPE, "QEMU closed the connection");
        return;
    }
    buf_added(&qmp->in, (size_t)got);
    const uint8_t *newline;
    while (!qmp->closed && !qmp->ended && buf_len(&qmp->in) > 0 &&
           (newline = memchr(buf_data(&qmp->in), '\n', buf_len(&qmp->in))) != NULL) {
        size_t len = (size_t)(newline - buf_data(&qmp->in));
        qmp_line(qmp, (const char *)buf_data(&qmp->in), len);
        buf_consume(&qmp->in, len + 1);
    }
    if (buf_len(&qmp->in) > QMP_LINE_MAX)
        qmp_end(qmp, EPROTO, "line too long");
}

static void qmp_poll(uv_poll_t *poll, int status, int events)
{
    struct qmp *qmp = poll->data;
    if (status < 0) {
        qmp_end(qmp, -status, "connection failed");
        return;
    }
    if ((events & UV_WRITABLE) != 0)
        qmp_flush(qmp);
    if ((events & UV_READABLE) != 0 && !qmp->closed && !qmp->ended)
        qmp_readable(qmp);
}

int qmp_open(struct qmp **out, uv_loop_t *loop, int fd, const struct qmp_events *events,
             void *context, struct error *err)
{
    struct qmp *qmp = calloc(1, sizeof *qmp);
    int rc = qmp != NULL ? uv_poll_init(loop, &qmp->poll, fd) : UV_ENOMEM;
    if (rc < 0) {
        close(fd);
        free(qmp);
        return error_set(err, -rc, "cannot watch QMP: %s", uv_strerror(rc));
    }
    qmp->poll.data = qmp;
    qmp->fd = fd;
    qmp->events = *events;
    qmp->context = context;
    qmp->last = &qmp->first;
    uv_poll_start(&qmp->poll, UV_READABLE, qmp_poll);
    qmp_run(qmp, "qmp_capabilities", NULL, NULL, NULL);
    *out = qmp;
    return 0;
}

void qmp_run(struct qmp *qmp, const char *command, cJSON *arguments, qmp_done *done, void *context)
{
    struct error why = {0};
    struct qmp_command *waiting = calloc(1, sizeof *waiting);
    cJSON *message = cJSON_CreateObject();
    cJSON_AddStringToObject(message, "execute", command);
    if (arguments != NULL)
        cJSON_AddItemToObject(message, "arguments", arguments);
    char *text = cJSON_PrintUnformatted(message);
    cJSON_Delete(message);
    if (waiting == NULL || text == NULL || qmp->ended || buf_printf(&qmp->out, "%s\n", text) < 0) {
        free(waiting);
        error_set(&why, EPIPE, "QMP: cannot send %s", command);
        if (done != NULL)
            done(context, NULL, &why);
    } else {
        log_debug(LOG_QEMU, "qmp > %s", text);
        *waiting = (struct qmp_command){NULL, done, context};
        *qmp->last = waiting;
        qmp->last = &waiting->next;
        if (qmp->greeted)
            qmp_flush(qmp);
    }
    free(text);
}

static void qmp_freed(uv_handle_t *handle)
{
    struct qmp *qmp = handle->data;
    close(qmp->fd);
    buf_free(&qmp->in);
    buf_free(&qmp->out);
    free(qmp);
}

const char *qmp_version(const struct qmp *qmp)
{
    return qmp->version;
}

void qmp_close(struct qmp *qmp)
{
    if (qmp == NULL || qmp->closed)
        return;
    qmp->closed = true;
    struct error why = {0};
    error_set(&why, ECANCELED, "QMP: closed");
    while (qmp->first != NULL)
        qmp_answer(qmp, NULL, &why);
    uv_poll_stop(&qmp->poll);
    uv_close((uv_handle_t *)&qmp->poll, qmp_freed);
}
