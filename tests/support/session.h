/* A session for tests and benchmarks that use the client library: $VMDECK's host, $VMDECK_IMAGE. */
#ifndef VMDECK_TESTS_SESSION_H
#define VMDECK_TESTS_SESSION_H

#include <stdbool.h>
#include <uv.h>

#include "session/protocol/client.h"
#include "session/protocol/config.h"

struct test_session {
    uv_loop_t loop;
    struct client *client;
    char id[16];
    bool ready, ended;
    struct error why; /* of the end, or of a start that failed */
};

/* Starts a bound session and runs the loop until it is ready or has failed (then false). */
bool test_session_start(struct test_session *session);

/* Closes the connection, and with it ends the session. */
void test_session_stop(struct test_session *session);

#endif
