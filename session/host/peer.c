/*
 * Each connection has its requests answered from a table, and its commands relayed to the
 * guest. A relay hands credit through one to one: what the client has not consumed the guest may
 * not send, so the host never holds more than a window per channel, however slow a client is.
 *
 * The socket's directory is ours alone (0700); the peer's uid is checked all the same, so that a
 * leaked descriptor or a mounted directory is no way in.
 */
#include "session/host/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/conn.h"
#include "base/log.h"
#include "base/path.h"
#include "session/host/exec.h"
#include "session/host/files.h"
#include "session/host/network.h"
#include "session/host/record.h"
#include "session/host/report.h"
#include "session/host/snapshot.h"
#include "session/host/spare.h"
#include "session/host/terminals.h"
#include "session/host/viewers.h"
#include "session/protocol/control.h"
#include "session/protocol/json.h"
#include "session/store/leftover.h"

#define PEER_QUEUE_MAX ((size_t)CONTROL_STREAMS_MAX * CONTROL_WINDOW * 2)
#define LISTEN_BACKLOG 128

static void peer_remove(struct peer *peer)
{
    struct host *host = peer->host;
    for (struct peer **at = &host->peers; *at != NULL; at = &(*at)->next)
        if (*at == peer) {
            *at = peer->next;
            break;
        }
    if (host->starter == peer)
        host->starter = NULL;
    snapshot_remove_peer(peer);
    files_remove_peer(peer);
    exec_abandon_all(peer);
    viewers_remove_peer(peer);
    conn_close(peer->conn);
    bool last_word = peer->birth && (host->config.bound || host->state < HOST_RUNNING);
    free(peer);
    if (last_word)
        host_stop(host, NULL);
}

void peer_violation(struct peer *peer, const char *what)
{
    log_warn(LOG_HOST, "a client broke the protocol: %s", what);
    peer->broken = true;
    shutdown(conn_fd(peer->conn), SHUT_RDWR); /* the loop sees its end and removes it */
}

void peer_reply(struct peer *peer, uint32_t id, cJSON *reply, const struct error *why)
{
    if (reply == NULL)
        reply = cJSON_CreateObject();
    cJSON_AddNumberToObject(reply, "reply", id);
    if (why != NULL) {
        cJSON *error = cJSON_AddObjectToObject(reply, "error");
        cJSON_AddNumberToObject(error, "code", why->code);
        cJSON_AddStringToObject(error, "message", why->message);
    }
    json_send(peer->conn, reply);
}

void peer_event(struct peer *peer, cJSON *event)
{
    json_send(peer->conn, event);
}

void peer_broadcast(struct host *host, cJSON *event)
{
    for (struct peer *peer = host->peers; peer != NULL; peer = peer->next)
        json_send(peer->conn, cJSON_Duplicate(event, true));
    cJSON_Delete(event);
}

static int request_hello(struct peer *peer, const cJSON *request, struct error *err)
{
    if (json_number(request, "version", 0) != CONTROL_VERSION)
        return error_set(err, EPROTO, "this session speaks version %d of the protocol",
                         CONTROL_VERSION);
    peer->greeted = true;
    return 0;
}

/* A suspended session: its id, and its memory from its own directory. */
static int revive_config(struct host *host, const char *id, struct error *err)
{
    CLEAN_FREE char *name = str_printf("sessions/%s/" SUSPENDED_FILE, id);
    char *path = NULL;
    if (strlen(id) != HOST_ID_SIZE - 1 || strspn(id, "0123456789abcdef") != HOST_ID_SIZE - 1)
        return error_set(err, EINVAL, "start: revive is no session's id");
    int rc = name != NULL ? path_xdg(PATH_STATE, name, &path, err) : -ENOMEM;
    if (rc < 0)
        return rc;
    memcpy(host->id, id, HOST_ID_SIZE);
    free(host->config.resume);
    host->config.resume = path;
    host->config.cold = host->config.bound = false;
    host->config.adopt = false;
    strv_free(&host->config.env); /* names only; the guest has the values */
    strv_free(&host->config.argv);
    host->revive = host->suspended = true; /* until it runs */
    return 0;
}

static int request_start(struct peer *peer, const cJSON *request, struct error *err)
{
    struct host *host = peer->host;
    if (!peer->birth || host->state != HOST_WAITING)
        return error_set(err, EALREADY, "this session has been started");
    cJSON *secrets = cJSON_GetObjectItemCaseSensitive(request, "secrets");
    int rc = session_config_parse(cJSON_GetObjectItemCaseSensitive(request, "session"),
                                  &host->config, err);
    if (rc == 0)
        rc = session_secrets_parse(secrets, &host->config.secrets, err);
    session_secrets_wipe(secrets);
    if (rc < 0) {
        host_stop(host, err); /* a host without a session has nothing to wait for */
        return rc;
    }
    const char *revive = json_string(request, "revive");
    if (revive != NULL)
        rc = revive_config(host, revive, err);
    if (rc < 0) {
        host_stop(host, err);
        return rc;
    }
    host->starter = peer;
    host->start_id = (uint32_t)json_number(request, "id", 0);
    host_start(host);
    return 1; /* answered when the guest is ready */
}

static int request_stop(struct peer *peer, const cJSON *request, struct error *err)
{
    (void)request;
    (void)err;
    if (!peer->birth || !peer->host->config.bound) {
        host_shutdown(peer->host);
        return 0;
    }
    host_discard(peer->host); /* what it was started for is over */
    return 0;
}

/* Stops or continues the processors; answered when QEMU has done it. */
struct pausing {
    struct host *host;
    struct peer *peer; /* looked for among those that are there */
    uint32_t id;
    bool pause;
};

static void on_paused(void *context, const cJSON *result, const struct error *why)
{
    CLEAN_FREE struct pausing *pausing = context;
    struct host *host = pausing->host;
    if (result != NULL) {
        host->paused = pausing->pause;
        record_state(host, network_state(host));
        if (!pausing->pause)
            guest_clock(host->guest);
    }
    for (struct peer *peer = host->peers; peer != NULL; peer = peer->next)
        if (peer == pausing->peer)
            peer_reply(peer, pausing->id, NULL, result == NULL ? why : NULL);
}

static int pause_request(struct peer *peer, const cJSON *request, bool pause, struct error *err)
{
    if (peer->host->saving != NULL)
        return error_set(err, EBUSY, "a snapshot of this session is being taken");
    struct pausing *pausing = malloc(sizeof *pausing);
    if (pausing == NULL)
        return error_set(err, ENOMEM, "out of memory");
    *pausing = (struct pausing){peer->host, peer, (uint32_t)json_number(request, "id", 0), pause};
    qmp_run(qemu_qmp(peer->host->qemu), pause ? "stop" : "cont", NULL, on_paused, pausing);
    return 1;
}

static int request_pause(struct peer *peer, const cJSON *request, struct error *err)
{
    return pause_request(peer, request, true, err);
}

static int request_unpause(struct peer *peer, const cJSON *request, struct error *err)
{
    return pause_request(peer, request, false, err);
}

/* One row a request. Handlers return 0 (answered with an empty reply), 1 (the answer comes
 * later, or the handler has given it), or a negative errno with the error filled. */
static const struct request {
    const char *name;
    int (*handle)(struct peer *peer, const cJSON *request, struct error *err);
    bool running; /* only while the guest is there */
} requests[] = {
    {"hello", request_hello, false},
    {"start", request_start, false},
    {"spare", spare_request, false},
    {"claim", spare_request_claim, false},
    {"stop", request_stop, false},
    {"info", report_info, false},
    {"stats", report_stats, true},
    {"pause", request_pause, true},
    {"unpause", request_unpause, true},
    {"snapshot", snapshot_request, true},
    {"suspend", snapshot_request_suspend, true},
    {"fork", snapshot_request_fork, true},
    {"mount", files_request_mount, true},
    {"umount", files_request_umount, true},
    {"subscribe", report_subscribe, false},
    {"open", terminal_request_open, true},
    {"terminals", terminal_request_list, true},
    {"attach", viewer_request_attach, true},
    {"detach", viewer_request_detach, true},
    {"exec", exec_request, true},
    {"signal", exec_signal, true},
    {"resize", exec_resize, true},
    {"allow", network_request, true},
    {"deny", network_request, true},
    {"rules", network_request, true},
    {"rules_rm", network_request, true},
    {"requests", network_request, true},
    {"answer", network_request, true},
};

static void peer_message(struct peer *peer, const struct frame *frame)
{
    cJSON *message = cJSON_ParseWithLength((const char *)frame->payload, frame->length);
    const char *name = json_string(message, "request");
    uint32_t id = (uint32_t)json_number(message, "id", 0);
    const struct request *request = NULL;
    struct error err = {0};
    for (size_t i = 0; name != NULL && i < sizeof requests / sizeof requests[0]; i++)
        if (strcmp(requests[i].name, name) == 0)
            request = &requests[i];
    int rc;
    if (message == NULL || name == NULL)
        rc = error_set(&err, EPROTO, "not a request");
    else if (!peer->greeted && strcmp(name, "hello") != 0)
        rc = error_set(&err, EPROTO, "the first request must be hello");
    else if (request == NULL)
        rc = error_set(&err, ENOSYS, "unknown request '%.40s'", name);
    else if (request->running && peer->host->state != HOST_RUNNING)
        rc = error_set(&err, EAGAIN, "the VM is not running");
    else
        rc = request->handle(peer, message, &err);
    if (request != NULL && !request->running)
        explicit_bzero((uint8_t *)(uintptr_t)frame->payload,
                       frame->length); /* it may have secrets */
    if (rc <= 0)
        peer_reply(peer, id, NULL, rc < 0 ? &err : NULL);
    cJSON_Delete(message);
}

static void peer_frame(void *context, const struct frame *frame)
{
    static void (*const handlers[CONTROL_TYPES])(struct peer *, const struct frame *) = {
        [CONTROL_MESSAGE] = peer_message,
        [CONTROL_DATA] = exec_data,
        [CONTROL_CREDIT] = exec_credit,
    };
    struct peer *peer = context;
    if (!peer->broken)
        handlers[frame->type](peer, frame);
}

static void peer_ended(void *context, const struct error *why)
{
    if (why->code != 0)
        log_debug(LOG_HOST, "client: %s", why->message);
    peer_remove(context);
}

int peer_add(struct host *host, int fd, bool birth, struct error *err)
{
    static const struct conn_events events = {peer_frame, peer_ended};
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        close(fd);
        return error_set(err, ENOMEM, "out of memory");
    }
    peer->host = host;
    peer->birth = birth;
    int rc =
        conn_open(&peer->conn, &host->loop, fd, &control_rules, PEER_QUEUE_MAX, &events, peer, err);
    if (rc < 0) {
        free(peer);
        return rc;
    }
    peer->next = host->peers;
    host->peers = peer;
    return 0;
}

static void peer_accept(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct host *host = poll->data;
    CLEAN_FD int fd = accept4(host->listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred who;
    socklen_t size = sizeof who;
    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 ||
        (who.uid != geteuid() && who.uid != 0)) {
        log_warn(LOG_HOST, "refused a connection of another user");
        return;
    }
    struct error err = {0};
    if (peer_add(host, take_fd(&fd), false, &err) < 0)
        log_warn(LOG_HOST, "%s", err.message);
}

int peer_listen(struct host *host, const char *name, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rc = path_xdg(PATH_RUNTIME, name, &host->socket_path, err);
    if (rc < 0)
        return rc;
    if (strlen(host->socket_path) >= sizeof address.sun_path)
        return error_set(err, ENAMETOOLONG, "%s: too long for a socket (set XDG_RUNTIME_DIR)",
                         host->socket_path);
    memcpy(address.sun_path, host->socket_path, strlen(host->socket_path) + 1);
    if (host->revive)
        unlink(host->socket_path); /* of a host that was killed: the session's lock is ours */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The file gets the mode of the socket. Not by umask(2): other threads make files meanwhile. */
    if (fd < 0 || fchmod(fd, 0600) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, LISTEN_BACKLOG) < 0 || uv_poll_init(&host->loop, &host->listener, fd) < 0) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        free(take_ptr(host->socket_path));
        return error_system(err, code, "cannot listen on %s", address.sun_path);
    }
    host->listener_fd = fd;
    host->listener.data = host;
    uv_poll_start(&host->listener, UV_READABLE, peer_accept);
    return 0;
}

static void peer_listener_closed(uv_handle_t *handle)
{
    struct host *host = handle->data;
    cleanup_fd(&host->listener_fd);
}

void peer_unlisten(struct host *host)
{
    if (host->socket_path == NULL)
        return;
    unlink(host->socket_path);
    free(take_ptr(host->socket_path));
    uv_poll_stop(&host->listener);
    uv_close((uv_handle_t *)&host->listener, peer_listener_closed);
}

void peer_close_all(struct host *host)
{
    while (host->peers != NULL)
        peer_remove(host->peers);
}
