/*
 * What a viewer gets is bounded by its credit. While it keeps up it is `live`: the terminal's
 * filtered output goes straight out. When more than VIEWER_BACKLOG waits for it, the backlog is
 * thrown away and the viewer is `behind`: it is repainted each time that it has taken what it was
 * sent, and live again when nothing happened meanwhile. So a flood costs it a screen for each that
 * it shows, it never sees a stale or broken one, and the guest is never held up by who looks at it.
 *
 * A viewer of another size than the terminal (the smallest viewer decides that) cannot have the
 * stream, whose lines would wrap elsewhere: it is repainted when something changed, at most every
 * REDRAW_MS (terminals.c has the timer).
 */
#include "session/host/viewers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/conn.h"
#include "session/protocol/control.h"
#include "session/protocol/json.h"
#include "session/term/repaint.h"

#define VIEWER_BACKLOG ((size_t)256 * 1024)
/* On the way to one viewer: all of a client's share a connection, where a key's echo comes behind
 * what the others flood. Far less than the client would take. */
#define VIEWER_WINDOW (32u * 1024)
_Static_assert(VIEWER_WINDOW <= CONTROL_WINDOW, "no more than the protocol allows");
/* Less is not worth a frame while more waits: credit comes back in the pieces that were sent, and
 * pieces of a few bytes would stay so for ever. */
#define VIEWER_PART (VIEWER_WINDOW / 4)
#define CANCEL      "\030" /* CAN: ends a sequence that was cut in the middle */

static bool viewer_exact(const struct viewer *viewer)
{
    int rows, cols;
    term_size(viewer->terminal->term, &rows, &cols);
    return viewer->rows == rows && viewer->columns == cols;
}

static void viewer_paint(struct viewer *viewer, bool first)
{
    const struct repaint_options options = {
        .rows = viewer->rows,
        .cols = viewer->columns,
        .history = first && !viewer->preview ? term_history(viewer->terminal->term) : 0,
        .colors = (enum repaint_colors)viewer->colors,
        .strings = viewer->strings,
        .scroll = first && !viewer->empty,
    };
    struct error err = {0};
    viewer->live = viewer->dirty = false;
    viewer->painted = true;
    buf_append(&viewer->out, CANCEL, 1);
    repaint(viewer->terminal->term, &options, &viewer->out, &err);
}

static void viewer_send(struct viewer *viewer, const uint8_t *data, size_t size)
{
    while (size > 0) {
        uint32_t part = size < CONTROL_DATA_MAX ? (uint32_t)size : CONTROL_DATA_MAX;
        conn_send(viewer->peer->conn, CONTROL_DATA, CONTROL_STDOUT, viewer->stream, data, part);
        viewer->credit -= part;
        data += part;
        size -= part;
    }
}

static void viewer_event(const struct viewer *viewer, const char *name)
{
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", name);
    cJSON_AddNumberToObject(event, "stream", viewer->stream);
    peer_event(viewer->peer, event);
}

/* Sends what the credit allows; says goodbye when all is out. May free the viewer. */
static void viewer_pump(struct viewer *viewer)
{
    for (;;) {
        size_t waiting = buf_len(&viewer->out);
        size_t part = waiting < viewer->credit ? waiting : viewer->credit;
        if (part < waiting && part < VIEWER_PART)
            return;
        viewer_send(viewer, buf_data(&viewer->out), part);
        buf_consume(&viewer->out, part);
        if (part < waiting)
            return;
        if (!viewer->whole)
            viewer_event(viewer, "painted");
        viewer->whole = true;
        if (viewer->last != NULL) {
            struct host *host = viewer->terminal->host;
            peer_event(viewer->peer, viewer->last);
            viewer->last = NULL;
            viewer_remove(viewer);
            terminal_check_over(host);
            return;
        }
        if (!viewer_exact(viewer)) {
            if (viewer->dirty) /* it changed while this went out */
                terminal_redraw_later(viewer->terminal);
            return;
        }
        if (viewer->live || (viewer->behind && viewer->credit < VIEWER_WINDOW))
            return;
        if (!viewer->dirty) {
            viewer->live = true;
            viewer->behind = false;
            return;
        }
        viewer_paint(viewer, false);
    }
}

void viewers_output(struct terminal *terminal, const uint8_t *bytes, size_t size)
{
    for (struct viewer *viewer = terminal->viewers; viewer != NULL; viewer = viewer->next) {
        if (!viewer->live || viewer->last != NULL) {
            viewer->dirty = true;
            continue;
        }
        size_t waiting = buf_len(&viewer->out);
        if (waiting + size <= VIEWER_BACKLOG) {
            buf_append(&viewer->out, bytes, size);
        } else {
            buf_consume(&viewer->out, waiting);
            viewer->live = false;
            viewer->dirty = viewer->behind = true;
            viewer_event(viewer, "skipped");
        }
    }
}

void viewers_flush(struct terminal *terminal)
{
    for (struct viewer *viewer = terminal->viewers, *next; viewer != NULL; viewer = next) {
        next = viewer->next;
        if (viewer->live && buf_len(&viewer->out) > 0)
            viewer_pump(viewer);
    }
}

void viewers_repaint(struct terminal *terminal)
{
    for (struct viewer *viewer = terminal->viewers, *next; viewer != NULL; viewer = next) {
        next = viewer->next;
        if (viewer->last != NULL || !viewer->painted)
            continue;
        buf_consume(&viewer->out, buf_len(&viewer->out));
        viewer_paint(viewer, false);
        viewer_pump(viewer);
    }
}

void viewers_redraw(struct terminal *terminal)
{
    for (struct viewer *viewer = terminal->viewers, *next; viewer != NULL; viewer = next) {
        next = viewer->next;
        if (!viewer->dirty || !viewer->painted || viewer_exact(viewer) || buf_len(&viewer->out) > 0)
            continue;
        viewer_paint(viewer, false);
        viewer_pump(viewer);
    }
}

void viewers_return_credit(struct terminal *terminal)
{
    for (struct viewer *viewer = terminal->viewers; viewer != NULL; viewer = viewer->next) {
        uint8_t payload[4];
        if (viewer->owed == 0)
            continue;
        put_u32(payload, viewer->owed);
        viewer->owed = 0;
        conn_send(viewer->peer->conn, CONTROL_CREDIT, CONTROL_STDIN, viewer->stream, payload, 4);
    }
}

/* Leaves the viewer's terminal as it should be found, then says `event`. */
static void viewer_finish(struct viewer *viewer, cJSON *event)
{
    struct error err = {0};
    if (viewer->last != NULL) {
        cJSON_Delete(event);
        return;
    }
    if (!viewer->live && viewer->dirty)
        viewer_paint(viewer, false);
    repaint_leave(viewer->terminal->term, &viewer->out, &err);
    cJSON_AddNumberToObject(event, "stream", viewer->stream);
    viewer->last = event;
    viewer_pump(viewer);
}

void viewers_end(struct terminal *terminal, const cJSON *event)
{
    for (struct viewer *viewer = terminal->viewers, *next; viewer != NULL; viewer = next) {
        next = viewer->next;
        viewer_finish(viewer, cJSON_Duplicate(event, true));
    }
}

static int attach_size(const cJSON *request, uint16_t *rows, uint16_t *columns, struct error *err)
{
    uint64_t r = json_number(request, "rows", 0), c = json_number(request, "columns", 0);
    if (r == 0 || r > UINT16_MAX || c == 0 || c > UINT16_MAX)
        return error_set(err, EINVAL, "attach: rows and columns must be from 1 to 65535");
    *rows = (uint16_t)(r < TERM_ROWS_MAX ? r : TERM_ROWS_MAX);
    *columns = (uint16_t)(c < TERM_COLS_MAX ? c : TERM_COLS_MAX);
    return 0;
}

int viewer_request_attach(struct peer *peer, const cJSON *request, struct error *err)
{
    uint64_t stream = json_number(request, "stream", 0);
    struct terminal *terminal =
        terminal_find(peer->host, (unsigned)json_number(request, "terminal", 0));
    if (stream == 0 || stream > CONTROL_STREAMS_MAX || peer->relays[stream - 1] != NULL ||
        viewer_find(peer, (uint32_t)stream) != NULL)
        return error_set(err, EINVAL, "attach: stream is in use or not from 1 to %u",
                         CONTROL_STREAMS_MAX);
    if (terminal == NULL)
        return error_set(err, ENOENT, "the session has no such terminal");
    struct viewer *viewer = calloc(1, sizeof *viewer);
    if (viewer == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = attach_size(request, &viewer->rows, &viewer->columns, err);
    if (rc < 0) {
        free(viewer);
        return rc;
    }
    uint64_t colors = json_number(request, "colors", REPAINT_256);
    viewer->terminal = terminal;
    viewer->peer = peer;
    viewer->stream = (uint32_t)stream;
    viewer->preview = json_bool(request, "preview");
    viewer->read_only = viewer->preview || json_bool(request, "read_only");
    viewer->strings = json_bool(request, "strings");
    viewer->empty = json_bool(request, "empty");
    viewer->colors = colors > REPAINT_TRUECOLOR ? REPAINT_256 : (unsigned)colors;
    viewer->credit = VIEWER_WINDOW;
    if (!viewer->preview)
        terminal->used = ++peer->host->terminal_uses;
    cJSON *reply = cJSON_CreateObject();
    cJSON_AddNumberToObject(reply, "terminal", terminal->id);
    peer_reply(peer, (uint32_t)json_number(request, "id", 0), reply, NULL);
    viewer->next = terminal->viewers;
    terminal->viewers = viewer;
    terminal_fit(terminal);
    viewer_paint(viewer, true);
    if (terminal->end != NULL)
        viewer_finish(viewer, cJSON_Duplicate(terminal->end, true));
    else
        viewer_pump(viewer);
    return 1;
}

int viewer_request_detach(struct peer *peer, const cJSON *request, struct error *err)
{
    struct viewer *viewer = viewer_find(peer, (uint32_t)json_number(request, "stream", 0));
    if (viewer == NULL)
        return error_set(err, ENOENT, "detach: nothing is attached to that stream");
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", "detached");
    viewer_finish(viewer, event);
    return 0;
}

struct viewer *viewer_find(struct peer *peer, uint32_t stream)
{
    for (struct terminal *t = peer->host->terminals; t != NULL; t = t->next)
        for (struct viewer *viewer = t->viewers; viewer != NULL; viewer = viewer->next)
            if (viewer->peer == peer && viewer->stream == stream)
                return viewer;
    return NULL;
}

void viewer_input(struct viewer *viewer, const struct frame *frame)
{
    if (viewer->read_only || viewer->last != NULL || (frame->flags & CONTROL_EOF) != 0)
        return;
    viewer->owed += frame->length;
    if (viewer->owed > CONTROL_WINDOW) {
        peer_violation(viewer->peer, "input without credit");
        return;
    }
    terminal_input(viewer->terminal, frame->payload, frame->length);
}

void viewer_credit(struct viewer *viewer, uint32_t bytes)
{
    if (bytes > VIEWER_WINDOW - viewer->credit) {
        peer_violation(viewer->peer, "credit for what was not sent");
        return;
    }
    viewer->credit += bytes;
    viewer_pump(viewer);
}

void viewer_resize(struct viewer *viewer, uint16_t rows, uint16_t columns)
{
    viewer->rows = rows < TERM_ROWS_MAX ? rows : TERM_ROWS_MAX;
    viewer->columns = columns < TERM_COLS_MAX ? columns : TERM_COLS_MAX;
    terminal_fit(viewer->terminal);
    viewers_repaint(viewer->terminal);
}

void viewer_remove(struct viewer *viewer)
{
    for (struct viewer **at = &viewer->terminal->viewers; *at != NULL; at = &(*at)->next)
        if (*at == viewer) {
            *at = viewer->next;
            break;
        }
    terminal_fit(viewer->terminal);
    cJSON_Delete(viewer->last);
    buf_free(&viewer->out);
    free(viewer);
}

void viewers_remove_peer(struct peer *peer)
{
    for (struct terminal *t = peer->host->terminals; t != NULL; t = t->next)
        for (struct viewer *viewer = t->viewers, *next; viewer != NULL; viewer = next) {
            next = viewer->next;
            if (viewer->peer == peer)
                viewer_remove(viewer);
        }
    terminal_check_over(peer->host);
}
