/*
 * Viewers: streams of clients that show a terminal. Each gets a repaint and then the live stream;
 * one that falls behind, or has another size than the terminal, is repainted instead. Part of the
 * session host; everything on its loop.
 */
#ifndef VMDECK_SESSION_HOST_VIEWERS_H
#define VMDECK_SESSION_HOST_VIEWERS_H

#include "session/host/terminals.h"

struct viewer {
    struct viewer *next;
    struct terminal *terminal;
    struct peer *peer;
    uint32_t stream;
    uint16_t rows, columns;
    bool read_only;
    bool preview;    /* does not decide the size, gets no scrollback */
    unsigned colors; /* enum repaint_colors */
    bool strings;
    bool empty;     /* its screen shows nothing that should be kept */
    struct buf out; /* what its credit does not yet allow */
    uint32_t credit;
    uint32_t owed; /* bytes of input that it may be given credit for again */
    bool painted;  /* has had its first repaint */
    bool whole;    /* it is out */
    bool live;     /* gets the stream; otherwise it is due a repaint */
    bool behind;   /* it is not live because it does not keep up */
    bool dirty;    /* something happened since its last repaint */
    cJSON *last;   /* its last event, sent when `out` is */
};

int viewer_request_attach(struct peer *peer, const cJSON *request, struct error *err);
int viewer_request_detach(struct peer *peer, const cJSON *request, struct error *err);

/* The viewer on this stream of the peer, or NULL. */
struct viewer *viewer_find(struct peer *peer, uint32_t stream);

void viewer_input(struct viewer *viewer, const struct frame *frame);
void viewer_credit(struct viewer *viewer, uint32_t bytes);
void viewer_resize(struct viewer *viewer, uint16_t rows, uint16_t columns);

/* The terminal's events, for all of its viewers. Output is sent by the flush. */
void viewers_output(struct terminal *terminal, const uint8_t *bytes, size_t size);
void viewers_flush(struct terminal *terminal);
void viewers_repaint(struct terminal *terminal);
void viewers_redraw(struct terminal *terminal); /* those of another size */
void viewers_return_credit(struct terminal *terminal);

/* The command has ended: they get what gives their terminals back, and the event (taken over). */
void viewers_end(struct terminal *terminal, const cJSON *event);

void viewer_remove(struct viewer *viewer);
void viewers_remove_peer(struct peer *peer);

#endif
