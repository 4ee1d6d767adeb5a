/*
 * The registry: an index of the sessions of this user, $XDG_STATE_HOME/vmdeck/vmdeck.db (SQLite,
 * mode 0600). What it says about a session's state is what somebody last wrote: whether a session
 * lives is decided by its socket.
 *
 * Any number of processes, and of connections in one, at once. One connection is used by one
 * thread at a time and is not carried across fork(). Every call is a transaction of its own:
 * returned means committed; failed means nothing was changed. A call waits up to 10 s for other
 * writers. Times are ms since 1970, UTC. Text is any bytes without NUL.
 */
#ifndef VMDECK_SESSION_STORE_REGISTRY_H
#define VMDECK_SESSION_STORE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SESSION_ID_SIZE     9 /* 8 lower-case hex digits and NUL */
#define SESSION_NAME_MAX    64
#define SESSION_TEXT_MAX    4096         /* bytes of every other text */
#define SESSION_CONFIG_MAX  (256 * 1024) /* bytes */
#define SESSIONS_ENDED_KEPT 200 /* older ended sessions are forgotten; their events are not */

struct registry;

/*
 * Opens the database, creating or migrating it where that is due. NULL: the user's; otherwise a
 * path in a directory that exists. -ENOTSUP: written by a newer vmdeck. -EUCLEAN, here and from
 * every call below: the file is damaged; it is left as it is.
 */
int registry_open(struct registry **out, const char *path, struct error *err);
void registry_close(struct registry *registry); /* NULL is fine */

/* Those before SESSION_STOPPED are live, the others ended. A suspended session is live. */
enum session_state {
    SESSION_STARTING,
    SESSION_RUNNING,
    SESSION_WAITING,
    SESSION_PAUSED,
    SESSION_SUSPENDED,
    SESSION_STOPPED,
    SESSION_DEAD,
    SESSION_STATES
};
const char *session_state_name(enum session_state state);

/*
 * One session. Given to this module, texts belong to the caller and NULL means "". Returned by
 * it, they are never NULL, and session_record_free() releases them.
 */
struct session_record {
    char id[SESSION_ID_SIZE];
    enum session_state state;
    const char *name; /* "": none */
    const char *image;
    const char *image_build;
    const char *arch;
    const char *accel;
    int64_t memory; /* bytes */
    int64_t cpus;
    int64_t host_pid;   /* the session host's process; 0: none */
    int64_t host_start; /* and when it started, in clock ticks since boot */
    int64_t created;
    int64_t ended; /* 0: live */
    const char *ended_reason;
    const char *command;   /* to show; never a secret */
    const char *directory; /* of the files it needs while it lives; the caller removes it */
    const char *config;    /* opaque; never a secret */
    char *memory_block;    /* holds the texts of a returned record */
};
void session_record_free(struct session_record *record);
#define CLEAN_SESSION __attribute__((cleanup(session_record_free)))

struct session_list {
    struct session_record *items;
    size_t count;
};
void session_list_free(struct session_list *list);
#define CLEAN_SESSIONS __attribute__((cleanup(session_list_free)))

/*
 * Names are 1 to 64 of A-Z a-z 0-9 . _ -, do not start with '.' or '-' (an option, a hidden
 * file), and are not 8 hex digits (an id). -EINVAL, saying which.
 */
int session_name_check(const char *name, struct error *err);

/* A session id that is most likely free. */
int session_new_id(char id[SESSION_ID_SIZE], struct error *err);

/*
 * Adds a live session; fills in id and created.
 * -EEXIST: a live session has that name. -E2BIG or -EINVAL: a field is too long or makes no sense;
 * the message names it.
 */
int session_add(struct registry *registry, struct session_record *record, struct error *err);

/* The same with the id that is in the record, of session_new_id(). -EAGAIN: it is not free. */
int session_add_known(struct registry *registry, struct session_record *record, struct error *err);

/* Which fields session_update() writes. */
enum session_fields {
    SESSION_SET_STATE = 1,
    SESSION_SET_HOST = 2,     /* host_pid, host_start */
    SESSION_SET_IMAGE = 4,    /* image, image_build, arch */
    SESSION_SET_MACHINE = 8,  /* accel, memory, cpus */
    SESSION_SET_COMMAND = 16, /* command */
    SESSION_SET_FILES = 32,   /* directory */
    SESSION_SET_CONFIG = 64,  /* config */
    SESSION_SET_ALL = 127,
};

/*
 * Writes the fields named of the live session record->id. A state must be a live one:
 * session_end() ends. -ENOENT: not in the registry, or ended.
 */
int session_update(struct registry *registry, const struct session_record *record, unsigned fields,
                   struct error *err);

/*
 * Ends a session (SESSION_STOPPED or SESSION_DEAD), which frees its name, and forgets the ended
 * ones beyond SESSIONS_ENDED_KEPT. The first end stays: on an ended session this changes nothing
 * and returns 0. -ENOENT: not in the registry.
 */
int session_end(struct registry *registry, const char *id, enum session_state state,
                const char *reason, struct error *err);

/* Forgets a session, live or ended. 0 also if there was none. Its events stay. */
int session_remove(struct registry *registry, const char *id, struct error *err);

enum session_scope { SESSIONS_LIVE, SESSIONS_ALL };

/*
 * The session that the user's word means: an id; else a name (the live session of that name, else
 * the one created last); else a prefix of exactly one id in the scope. -ENOENT: none, or one that
 * has ended and so is out of scope. -ENOTUNIQ: several, which the message lists. *out is zeroed on
 * failure.
 */
int session_find(struct registry *registry, const char *word, enum session_scope scope,
                 struct session_record *out, struct error *err);

/* Ordered by time of creation. *out is emptied first, and empty on failure. */
int session_list(struct registry *registry, enum session_scope scope, struct session_list *out,
                 struct error *err);

/*
 * When the process started (field 22 of /proc/<pid>/stat, proc(5)): with the pid it names the
 * process for good, while a pid alone is used again. -ESRCH: there is no such process.
 */
int session_host_start(int64_t pid, int64_t *start, struct error *err);

/* True while the record's host process exists, and is not another one of the same number. */
bool session_host_exists(const struct session_record *record);

#endif
