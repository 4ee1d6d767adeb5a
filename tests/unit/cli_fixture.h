/*
 * For tests of session/cli: user directories of their own, sessions in the registry whose host
 * "lives" (the test holds its lock), and the host's end of the socket, which a thread plays: it
 * answers hello and then says what it was given to say.
 */
#ifndef VMDECK_TESTS_CLI_FIXTURE_H
#define VMDECK_TESTS_CLI_FIXTURE_H

#include "store_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "session/cli/verb.h"
#include "session/protocol/control.h"

#define SAYS_MAX 3

struct played {
    char id[SESSION_ID_SIZE];
    int lock, listener;
    pthread_t thread;
    const char *says[SAYS_MAX]; /* messages; @ is the request's id */
    bool closes;                /* then; else it stays silent until the client goes */
    cJSON *asked;               /* the request */
};

static inline void cli_directories(const struct fixture *fixture)
{
    static const char *const names[] = {"XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME",
                                        "XDG_CACHE_HOME"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        setenv(names[i], fixture->directory, 1);
}

/* A row of a session, its directory, and its lock, held unless it is suspended. */
static inline void cli_session(struct played *played, const char *name, enum session_state state,
                               const char *config)
{
    struct error err = {0};
    CLEAN_FREE char *directory = NULL;
    struct registry *registry = must_open(NULL);
    struct session_record record = {.name = name, .state = state, .config = config};
    must(session_add(registry, &record, &err), &err);
    registry_close(registry);
    memcpy(played->id, record.id, sizeof played->id);
    CLEAN_FREE char *relative = str_printf("sessions/%s", record.id);
    must(path_xdg(PATH_STATE, relative, &directory, &err), &err);
    must(path_mkdirs(directory, 0700, &err), &err);
    CLEAN_FREE char *lock = str_printf("%s/lock", directory);
    played->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(played->lock >= 0);
    if (state != SESSION_SUSPENDED)
        assert_int_equal(flock(played->lock, LOCK_EX | LOCK_NB), 0);
}

static inline void played_send(int fd, const char *text, uint64_t id)
{
    char message[512];
    const char *at = strchr(text, '@');
    int length = at == NULL ? snprintf(message, sizeof message, "%s", text)
                            : snprintf(message, sizeof message, "%.*s%llu%s", (int)(at - text),
                                       text, (unsigned long long)id, at + 1);
    uint8_t header[FRAME_HEADER_SIZE];
    frame_header(header, CONTROL_MESSAGE, 0, 0, (uint32_t)length);
    if (fd_write_all(fd, header, sizeof header) == 0)
        fd_write_all(fd, message, (size_t)length);
}

/* The next request, or NULL when the client has gone. */
static inline cJSON *played_receive(int fd)
{
    uint8_t header[FRAME_HEADER_SIZE];
    char text[8192];
    if (recv(fd, header, sizeof header, MSG_WAITALL) != sizeof header ||
        get_u32(header) > sizeof text)
        return NULL;
    ssize_t length = recv(fd, text, get_u32(header), MSG_WAITALL);
    return length > 0 ? cJSON_ParseWithLength(text, (size_t)length) : NULL;
}

static inline void *played_run(void *context)
{
    struct played *played = context;
    CLEAN_FD int fd = accept4(played->listener, NULL, NULL, SOCK_CLOEXEC);
    cJSON *hello = played_receive(fd);
    if (hello == NULL)
        return NULL;
    played_send(fd, "{\"reply\":@}",
                (uint64_t)cJSON_GetNumberValue(cJSON_GetObjectItem(hello, "id")));
    cJSON_Delete(hello);
    played->asked = played_receive(fd);
    uint64_t id = (uint64_t)cJSON_GetNumberValue(cJSON_GetObjectItem(played->asked, "id"));
    for (size_t i = 0; i < SAYS_MAX && played->says[i] != NULL; i++)
        played_send(fd, played->says[i], id);
    if (!played->closes)
        cJSON_Delete(played_receive(fd));
    return NULL;
}

static inline void played_start(struct played *played)
{
    struct error err = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEAN_FREE char *name = str_printf("%s.sock", played->id);
    CLEAN_FREE char *path = NULL;
    must(path_xdg(PATH_RUNTIME, name, &path, &err), &err);
    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    played->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(played->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(played->listener, 1), 0);
    assert_int_equal(pthread_create(&played->thread, NULL, played_run, played), 0);
}

/* After the client has gone: what was asked is there, or nobody came. */
static inline void played_wait(struct played *played)
{
    shutdown(played->listener, SHUT_RDWR); /* accept() returns */
    pthread_join(played->thread, NULL);
}

static inline void played_end(struct played *played)
{
    close(played->listener);
    close(played->lock);
    cJSON_Delete(played->asked);
}

/* Runs a verb with these words. A failure is what main() would see, the error's code. */
static inline int cli_run(const struct verb *verb, const char *const *words, struct error *err)
{
    char *args[8] = {0};
    for (size_t i = 0; words[i] != NULL && i + 1 < ARRAY_SIZE(args); i++)
        args[i] = (char *)(uintptr_t)words[i];
    *err = (struct error){0};
    int rc = verb->run(verb, args, err);
    return rc < 0 ? -err->code : rc;
}
#define RUN(verb, err, ...) cli_run(&(verb), (const char *const[]){__VA_ARGS__, NULL}, err)

#endif
