/*
 * What the agent has to tell a human: a line on its standard error (the serial console) and, as
 * soon as the host listens, a LOG frame.
 */
#ifndef VMDECK_AGENT_CONSOLE_H
#define VMDECK_AGENT_CONSOLE_H

#include "base/buf.h"

/* Prints "vmdeck-agent: …" and keeps it for the host. */
void console_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* LOG frames that the host has not been sent yet; whoever sends them consumes them. */
struct buf *console_frames(void);

#endif
