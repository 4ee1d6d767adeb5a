/* See the header. A host that lives but has no socket yet, or no more, starts or ends just now. */
#include "session/cli/find.h"

#include <errno.h>

#include "base/cleanup.h"
#include "session/store/leftover.h"

int find_registry(struct registry **out, struct error *err)
{
    CLEAN_FD int lock = -1;
    int rc = registry_open(out, NULL, err);
    if (rc == 0)
        rc = leftover_lock(&lock, err);
    if (rc == 0)
        rc = leftover_collect(*out, err);
    if (rc < 0) {
        registry_close(*out);
        *out = NULL;
    }
    return rc;
}

int find_session(const char *word, struct session_record *out, struct error *err)
{
    struct registry *registry = NULL;
    *out = (struct session_record){0};
    int rc = find_registry(&registry, err);
    if (rc < 0)
        return rc;
    rc = session_find(registry, word, SESSIONS_LIVE, out, err);
    registry_close(registry);
    return rc;
}

int find_no_host(const struct session_record *record, struct error *err)
{
    if (record->state == SESSION_SUSPENDED)
        return error_set(err, EBUSY, "session %s is suspended (vmdeck start %s takes it up again)",
                         record->id, record->id);
    return error_set(err, EAGAIN, "session %s is only just starting or ending (try again)",
                     record->id);
}

int find_client(struct client **out, uv_loop_t *loop, const char *word,
                const struct client_events *events, void *context, struct session_record *record,
                struct error *err)
{
    CLEAN_SESSION struct session_record found = {0};
    int rc = find_session(word, &found, err);
    if (rc < 0)
        return rc;
    rc = client_connect(out, loop, found.id, events, context, err);
    if (rc == -ENOENT)
        return find_no_host(&found, err);
    if (rc == 0 && record != NULL) {
        *record = found;
        found = (struct session_record){0};
    }
    return rc;
}
