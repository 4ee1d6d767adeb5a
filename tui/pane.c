/*
 * Output goes through the engine as it comes. Its credit is returned when a frame was drawn: a host
 * that has more to show meanwhile drops what nobody could see (vmdeck-protocol(7)), so that panes
 * that flood cost no more than they can show, and a key's echo waits behind little. What was
 * dropped is in the host's scrollback: who looks back gets that, by attaching anew behind the old
 * picture.
 *
 * The stream outlives the pane's interest in it: after `detach` the host still sends what gives a
 * terminal back, which nobody wants, and then says that it is over.
 */
#include "tui/pane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/protocol/control.h"

struct stream {
    struct stream *next;
    struct streams *all;
    struct pane *pane; /* NULL: let go */
    struct client_command *command;
    struct term *next_term; /* for the pane, when it has the whole picture; or NULL */
    uint32_t owed;          /* credit */
    bool painted;           /* what comes now is live */
};

static void pane_say(struct pane *pane, const char *why)
{
    snprintf(pane->why, sizeof pane->why, "%.*s", FLEET_TEXT, why);
}

static void stream_free(struct stream *stream)
{
    term_free(stream->next_term);
    free(stream);
}

static void stream_over(struct stream *stream, const char *why)
{
    struct pane *pane = stream->pane;
    struct stream **at = &stream->all->first;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    stream_free(stream);
    if (pane == NULL)
        return;
    pane->stream = NULL;
    pane->ended = true;
    pane_say(pane, why);
    pane->events->ended(pane->context, pane);
}

static void on_started(void *context, uint32_t pid)
{
    (void)context;
    (void)pid;
}

static void on_failed(void *context, const struct error *why, int status)
{
    (void)status;
    stream_over(context, why->message);
}

static void stream_settle(struct stream *stream)
{
    if (stream->owed > 0)
        client_consumed(stream->command, CONTROL_STDOUT, stream->owed);
    stream->owed = 0;
}

static void pane_write(struct pane *pane, const uint8_t *data, uint32_t size)
{
    long before = (long)term_history(pane->term);
    uint64_t evicted = term_evicted(pane->term);
    term_write(pane->term, data, size);
    buf_consume(term_replies(pane->term), buf_len(term_replies(pane->term))); /* the host answers */
    long came =
        (long)term_history(pane->term) - before + (long)(term_evicted(pane->term) - evicted);
    if (pane->scrolling && came > 0) { /* what is looked at stays where it is */
        pane->offset += came;
        pane->cursor -= came;
        pane->anchor -= came;
        pane_move(pane, 0);
    }
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    struct stream *stream = context;
    struct pane *pane = stream->pane;
    (void)channel;
    (void)last;
    stream->owed += size;
    if (pane == NULL || !stream->painted)
        stream_settle(stream);
    if (pane == NULL)
        return;
    if (stream->next_term != NULL) {
        term_write(stream->next_term, data, size);
        buf_consume(term_replies(stream->next_term), buf_len(term_replies(stream->next_term)));
        return;
    }
    pane_write(pane, data, size);
    if (term_frame_held(pane->term))
        stream_settle(stream); /* there is nothing to draw before the rest has come */
    else
        pane->events->damage(pane->context, pane); /* where nothing changed, for the credit */
}

static void on_accepted(void *context, uint32_t bytes)
{
    (void)context;
    (void)bytes;
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    char why[64];
    snprintf(why, sizeof why, signal != 0 ? "ended by signal %u" : "ended with status %u",
             signal != 0 ? signal : code);
    stream_over(context, why);
}

static void on_detached(void *context)
{
    stream_over(context, "detached");
}

static void on_painted(void *context)
{
    struct stream *stream = context;
    struct pane *pane = stream->pane;
    stream->painted = true;
    if (pane == NULL || stream->next_term == NULL)
        return;
    term_free(pane->term);
    pane->term = stream->next_term;
    stream->next_term = NULL;
    pane_move(pane, 0);
    pane->events->damage(pane->context, pane);
}

static void on_skipped(void *context)
{
    const struct stream *stream = context;
    if (stream->pane != NULL)
        stream->pane->skipped = true;
}

static void on_damage(void *context, int first, int last)
{
    struct pane *pane = context;
    (void)first;
    (void)last;
    pane->events->damage(pane->context, pane);
}

static void on_title(void *context, const char *title)
{
    struct pane *pane = context;
    (void)title;
    pane->events->damage(pane->context, pane);
}

static void on_bell(void *context)
{
    struct pane *pane = context;
    pane->events->bell(pane->context, pane);
}

/* A new engine in *term, and a stream for it. */
static void pane_stream(struct pane *pane, struct term **term)
{
    static const struct client_command_events stream_events = {on_started,  on_failed, on_output,
                                                               on_accepted, on_exited, on_detached,
                                                               on_painted,  on_skipped};
    static const struct term_events term_events = {
        .damage = on_damage, .title = on_title, .bell = on_bell};
    struct error err = {0};
    const struct term_options options = {.rows = pane->rows,
                                         .cols = pane->cols,
                                         .history = pane->preview ? 0 : TERM_HISTORY,
                                         .events = &term_events,
                                         .context = pane};
    const struct client_attach attach = {.terminal = pane->terminal,
                                         .rows = (uint16_t)pane->rows,
                                         .columns = (uint16_t)pane->cols,
                                         .read_only = pane->preview,
                                         .preview = pane->preview,
                                         .colors = 2,
                                         .strings = true,
                                         .empty = true};
    struct stream *stream = calloc(1, sizeof *stream);
    int rc = stream != NULL ? term_new(term, &options, &err) : -ENOMEM;
    if (rc == 0)
        rc = client_attach(pane->client, &attach, &stream_events, stream, &stream->command, &err);
    if (rc < 0) {
        free(stream);
        pane->ended = true;
        pane_say(pane, err.code != 0 ? err.message : "out of memory");
        return;
    }
    stream->pane = pane;
    stream->all = pane->streams;
    stream->next = pane->streams->first;
    pane->streams->first = stream;
    pane->stream = stream;
}

void pane_attach(struct pane *pane, struct client *client, int rows, int cols)
{
    pane_detach(pane);
    pane->ended = pane->skipped = false;
    pane->scrolling = pane->selecting = false;
    pane->offset = 0;
    pane->client = client;
    pane->rows = rows;
    pane->cols = cols;
    term_free(pane->term);
    pane->term = NULL;
    pane_stream(pane, &pane->term);
}

void pane_complete(struct pane *pane)
{
    struct term *term = NULL;
    if (!pane->skipped || pane->stream == NULL)
        return;
    pane_detach(pane);
    pane->skipped = false;
    pane_stream(pane, &term);
    if (pane->stream != NULL)
        pane->stream->next_term = term;
    else
        term_free(term);
}

void streams_settle(const struct streams *streams)
{
    for (struct stream *stream = streams->first; stream != NULL; stream = stream->next)
        stream_settle(stream);
}

void streams_free(struct streams *streams)
{
    while (streams->first != NULL) {
        struct stream *stream = streams->first;
        streams->first = stream->next;
        stream_free(stream);
    }
}

void pane_detach(struct pane *pane)
{
    if (pane->stream == NULL)
        return;
    pane->stream->pane = NULL;
    stream_settle(pane->stream);
    client_detach(pane->stream->command);
    pane->stream = NULL;
}

void pane_free(struct pane *pane)
{
    pane_detach(pane);
    term_free(pane->term);
    pane->term = NULL;
}

void pane_resize(struct pane *pane, int rows, int cols)
{
    if (pane->stream == NULL || (rows == pane->rows && cols == pane->cols) || rows < 1 || cols < 1)
        return;
    struct term *next = pane->stream->next_term;
    if (term_resize(pane->term, rows, cols, NULL) < 0 ||
        (next != NULL && term_resize(next, rows, cols, NULL) < 0))
        return;
    pane->rows = rows;
    pane->cols = cols;
    client_resize(pane->stream->command, (uint16_t)rows, (uint16_t)cols);
    pane_move(pane, 0);
}

/* Input beyond the credit is dropped: the guest has not read the 512 KiB before it. */
static void pane_send(struct pane *pane, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size > 0 && pane->stream != NULL) {
        size_t part = size < CONTROL_DATA_MAX ? size : CONTROL_DATA_MAX;
        if (client_input(pane->stream->command, p, (uint32_t)part, false) < 0)
            return;
        p += part;
        size -= part;
    }
}

/* Keys whose bytes depend on the guest's modes, or that came in an encoding it did not ask for. */
static void pane_key(struct pane *pane, const struct input_event *event)
{
    static const char finals[] = "ABCDHF"; /* in the order of the codes */
    struct term_modes modes = term_modes(pane->term);
    char out[8];
    size_t size = 0;
    if (event->key >= KEYCODE_UP && event->key <= KEYCODE_END && event->modifiers == 0) {
        char kind = (modes.bits & TERM_APP_CURSOR) != 0 ? 'O' : '[';
        size = (size_t)snprintf(out, sizeof out, "\033%c%c", kind, finals[event->key - KEYCODE_UP]);
        pane_send(pane, out, size);
        return;
    }
    uint8_t final = event->size > 2 && event->bytes[0] == 0x1b && event->bytes[1] == '['
                        ? event->bytes[event->size - 1]
                        : 0;
    bool csi_u = final == 'u' || (final == '~' && event->key < KEYCODE_UP);
    if (!csi_u || event->key >= 0x80) {
        pane_send(pane, event->bytes, event->size);
        return;
    }
    if ((event->modifiers & INPUT_ALT) != 0)
        out[size++] = 0x1b;
    out[size++] = (char)((event->modifiers & INPUT_CTRL) != 0 ? event->key & 0x1f : event->key);
    pane_send(pane, out, size);
}

static void pane_paste(struct pane *pane, const struct input_event *event)
{
    bool bracketed = (term_modes(pane->term).bits & TERM_PASTE) != 0;
    if (event->first && bracketed)
        pane_send(pane, "\033[200~", 6);
    pane_send(pane, event->bytes, event->size);
    if (event->last && bracketed)
        pane_send(pane, "\033[201~", 6);
}

bool pane_wants_mouse(const struct pane *pane)
{
    return pane->term != NULL && pane->stream != NULL &&
           term_modes(pane->term).mouse != TERM_MOUSE_OFF;
}

static void pane_mouse(struct pane *pane, const struct input_event *event)
{
    static const int buttons[] = {[MOUSE_LEFT] = 0, [MOUSE_MIDDLE] = 1, [MOUSE_RIGHT] = 2,
                                  [MOUSE_NONE] = 3, [MOUSE_UP] = 64,    [MOUSE_DOWN] = 65};
    struct term_modes modes = term_modes(pane->term);
    int code = buttons[event->button];
    char out[48];
    int size;
    bool drags = modes.mouse == TERM_MOUSE_DRAG || modes.mouse == TERM_MOUSE_MOVE;
    if ((event->drag && !drags) || (modes.mouse == TERM_MOUSE_X10 && (!event->press || code > 2)))
        return;
    if (modes.mouse != TERM_MOUSE_X10)
        code += ((event->modifiers & INPUT_SHIFT) != 0 ? 4 : 0) +
                ((event->modifiers & INPUT_ALT) != 0 ? 8 : 0) +
                ((event->modifiers & INPUT_CTRL) != 0 ? 16 : 0) + (event->drag ? 32 : 0);
    if (modes.mouse_code == TERM_CODE_SGR) {
        size = snprintf(out, sizeof out, "\033[<%d;%d;%d%c", code, event->col + 1, event->row + 1,
                        event->press ? 'M' : 'm');
    } else {
        if (!event->press)
            code = (code & ~3) | 3;
        if (modes.mouse_code == TERM_CODE_URXVT)
            size = snprintf(out, sizeof out, "\033[%d;%d;%dM", code + 32, event->col + 1,
                            event->row + 1);
        else if (event->col < 223 && event->row < 223 && modes.mouse_code == TERM_CODE_DEFAULT)
            size = snprintf(out, sizeof out, "\033[M%c%c%c", code + 32, event->col + 33,
                            event->row + 33);
        else
            return; /* a place that this encoding cannot name */
    }
    pane_send(pane, out, (size_t)size);
}

void pane_input(struct pane *pane, const struct input_event *event)
{
    static void (*const handlers[])(struct pane *, const struct input_event *) = {
        [INPUT_KEY] = pane_key, [INPUT_MOUSE] = pane_mouse, [INPUT_PASTE] = pane_paste};
    if (pane->term == NULL || pane->stream == NULL || pane->preview)
        return;
    if (event->kind == INPUT_FOCUS) {
        if ((term_modes(pane->term).bits & TERM_FOCUS) != 0)
            pane_send(pane, event->focused ? "\033[I" : "\033[O", 3);
        return;
    }
    handlers[event->kind](pane, event);
}
