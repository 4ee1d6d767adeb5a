/*
 * A whole terminal as bytes, exactly: a terminal made of them shows the same (both screens,
 * scrollback, cursor, modes, title, …) and does the same with every byte that comes after, also if
 * the guest had sent only half of a sequence or character. What a snapshot keeps of each pty.
 *
 * The format is the same on every host and does not depend on how a terminal looks in memory;
 * format.h says how it is made up. About a byte for each character of text.
 *
 * Not kept: how many lines of history the owner allows, and the owner's events; both are given
 * anew. Same threads as term.h.
 */
#ifndef VMDECK_SESSION_TERM_SAVE_H
#define VMDECK_SESSION_TERM_SAVE_H

#include "session/term/term.h"

/* Appends to *out. Returns 0 or -ENOMEM, *out then as long as before. Makes no callbacks. */
int term_save(const struct term *term, struct buf *out, struct error *err);

/*
 * Makes *out of data[0..size), which may come from anybody: -EBADMSG for what no terminal could
 * have saved, or a vmdeck with another format; -ENOMEM. *out is NULL then.
 *
 * Of `options`, rows and cols are not looked at; of a history that is longer than options->history
 * the oldest lines are lost. No callback is made. Everything counts as damaged: the first damage
 * event names every row. term_replies() may have bytes, about which no event will come.
 */
int term_load(struct term **out, const struct term_options *options, const void *data, size_t size,
              struct error *err);

#endif
