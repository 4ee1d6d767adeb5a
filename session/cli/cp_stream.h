/*
 * A command in a session's VM as a blocking pair of pipes, for code that pulls and pushes: every
 * call turns the loop of its own until it can go on. At most CONTROL_WINDOW bytes wait in either
 * direction. SIGINT, SIGTERM and SIGHUP make the call that runs, or the next one, fail with
 * -ECANCELED. The guest ends a command whose stream is closed (SIGHUP, then SIGKILL).
 */
#ifndef VMDECK_SESSION_CLI_CP_STREAM_H
#define VMDECK_SESSION_CLI_CP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"

struct cp_stream;

/* Connects to the session that the word (id, prefix, name) means. */
int cp_stream_open(struct cp_stream **out, const char *session, struct error *err);

/* Starts the stream's one command; without `input` it reads from /dev/null. */
int cp_stream_run(struct cp_stream *stream, const struct strv *argv, bool input, struct error *err);

/* The next bytes of its standard output, valid until the next cp_stream_read(); 0 at the
 * end. */
ssize_t cp_stream_read(struct cp_stream *stream, const void **data, struct error *err);

/* All of it goes to its standard input. -EPIPE, with its own words, when it has ended. */
int cp_stream_write(struct cp_stream *stream, const void *data, size_t size, struct error *err);

/*
 * Ends its input, drops what output is left, and waits for its end: 0 for a status up to
 * `warning`, with what it said on stderr printed as warnings; otherwise its first line is the
 * error.
 */
int cp_stream_finish(struct cp_stream *stream, int warning, struct error *err);

/*
 * Waits until a descriptor of ours, which may be shared, is ready: UV_READABLE or UV_WRITABLE.
 * The same descriptor and event in all calls on a stream. To read for it is useless, and the
 * error then, once the command has ended.
 */
int cp_stream_wait(struct cp_stream *stream, int fd, int event, struct error *err);

/* The signal that interrupted, or 0. */
int cp_stream_interrupted(const struct cp_stream *stream);

void cp_stream_close(struct cp_stream *stream); /* NULL is fine */

/* Puts '?' where a text from outside would move the cursor: control characters, C1 in UTF-8. */
void cp_printable(char *text);

#endif
