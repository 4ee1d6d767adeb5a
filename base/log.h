/*
 * The log: what the user's terminal must not show. One file per process,
 * $XDG_STATE_HOME/vmdeck/log/<name>.log (mode 0600), lines "time level topic: text". Warnings are
 * always written; debug lines only for the topics in VMDECK_DEBUG (net,vfs,agent,qemu,all).
 * Before log_open, and when the file cannot be written, lines are dropped: a log never fails a
 * session. Callable from any thread. Secret values must never be passed in.
 */
#ifndef VMDECK_BASE_LOG_H
#define VMDECK_BASE_LOG_H

#include <stdbool.h>

enum log_topic { LOG_HOST, LOG_AGENT, LOG_QEMU, LOG_NET, LOG_VFS, LOG_IMAGE, LOG_TOPICS };

/* Opens `directory`/`name`.log for appending; reads VMDECK_DEBUG. */
void log_open(const char *directory, const char *name);

/* True where a debug line of this topic would be written: guards costly arguments. */
bool log_wants(enum log_topic topic);

void log_debug(enum log_topic topic, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_warn(enum log_topic topic, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
