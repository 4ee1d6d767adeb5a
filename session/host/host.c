/*
 * Life of a session host: it waits for "start" on the connection it was born with, brings the VM
 * up, answers, serves whoever connects, and ends when the guest does, when it is told to, or,
 * for a bound session, when that first connection closes.
 *
 * Ending goes through one path: host_stop() notes the reason and ends QEMU; when QEMU is gone
 * (or never was) a zero timer runs host_finish(), from the loop and so from no callback of the
 * things it frees. It writes the end into the registry before the files go, so that who looks
 * in between sees a session that has ended, not one that died. Only then do the connections close:
 * a client that sees the end of its connection knows that nothing is left (of a bound session but,
 * for some milliseconds, a QEMU that was killed).
 */
#include "session/host/host.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "session/host/files.h"
#include "session/host/network.h"
#include "session/host/peer.h"
#include "session/host/record.h"
#include "session/host/snapshot.h"
#include "session/host/spare.h"
#include "session/host/terminals.h"
#include "session/host/vm.h"
#include "session/protocol/json.h"

#define START_TIMEOUT_MS    120000
#define SHUTDOWN_TIMEOUT_MS 5000
#define CONSOLE_LINES       8
#define TOP_UP_MS           1000

static void host_bury(uv_timer_t *timer)
{
    struct host *host = timer->data;
    vm_bury(host);
    uv_close((uv_handle_t *)&host->finish, NULL);
}

/*
 * The socket goes before the directory: if we are killed in between, it is by the directory that
 * somebody finds what is left (session/store/leftover.c); and whoever has its lock next, to take a
 * suspended session up, makes a socket of the same name.
 *
 * Taking QEMU's memory apart takes the kernel longer than all of this. Who started a bound session
 * need not wait for that: a QEMU that was killed does nothing any more, and holds nothing that has
 * a name.
 */
static void host_clean(struct host *host)
{
    log_debug(LOG_HOST, "session %s: over", host->id);
    snapshot_cancel(host);
    terminals_close(host);
    peer_unlisten(host);
    vm_clean(host);
    if (!host->config.bound)
        vm_bury(host);
    peer_close_all(host);
    host->top_up_due = uv_is_active((uv_handle_t *)&host->top_up) != 0;
    uv_close((uv_handle_t *)&host->start_timer, NULL);
    uv_close((uv_handle_t *)&host->stop_timer, NULL);
    uv_close((uv_handle_t *)&host->last_words, NULL);
    uv_close((uv_handle_t *)&host->top_up, NULL);
    uv_close((uv_handle_t *)&host->sigterm, NULL);
    uv_timer_start(&host->finish, host_bury, 0, 0);
}

static void host_settled(struct host *host)
{
    record_end(host, host_clean); /* in this order: files without a record are nobody's */
}

static void host_finish(uv_timer_t *timer)
{
    struct host *host = timer->data;
    if (host->state == HOST_ENDED || snapshot_busy(host))
        return;
    host->state = HOST_ENDED;
    network_settle(host, host_settled);
}

void host_finish_soon(struct host *host)
{
    uv_timer_start(&host->finish, host_finish, 0, 0);
}

/* Tells everybody how it ended, the last words of the console with it if it was not wanted. */
static void host_say_ended(struct host *host)
{
    struct error *why = &host->reason, stopped = {0};
    error_set(&stopped, ECANCELED, "the session was stopped");
    if (host->starter != NULL) {
        peer_reply(host->starter, host->start_id, NULL, why->code != 0 ? why : &stopped);
        host->starter = NULL;
    }
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", "ended");
    cJSON_AddNumberToObject(event, "code", why->code);
    cJSON_AddStringToObject(event, "message", why->message);
    if (host->show_console && host->qemu != NULL) {
        CLEAN_BUF struct buf console = {0};
        qemu_console(host->qemu, CONSOLE_LINES, &console);
        if (buf_len(&console) > 0)
            cJSON_AddStringToObject(event, "console", buf_string(&console));
    }
    peer_broadcast(host, event);
}

static void host_ended(struct host *host, const struct error *why)
{
    if (host->state == HOST_ENDED || uv_is_active((uv_handle_t *)&host->finish))
        return;
    if (host->state != HOST_STOPPING && why != NULL) {
        host->reason = *why;
        host->show_console = true;
        if (host->state == HOST_STARTING)
            error_wrap(&host->reason, "the VM did not start");
        host->state = HOST_STOPPING;
    }
    host_say_ended(host);
    uv_timer_start(&host->finish, host_finish, 0, 0);
}

void host_stop(struct host *host, const struct error *why)
{
    if (host->state >= HOST_STOPPING)
        return;
    host->state = HOST_STOPPING;
    if (why != NULL)
        host->reason = *why;
    if (host->qemu != NULL && qemu_pid(host->qemu) > 0)
        qemu_stop(host->qemu); /* host_ended() follows */
    else
        host_ended(host, why);
}

/* The record is written while the kernel takes QEMU's memory apart. */
void host_discard(struct host *host)
{
    if (host->state >= HOST_STOPPING)
        return;
    log_debug(LOG_HOST, "session %s: no longer wanted", host->id);
    host->state = HOST_STOPPING;
    if (host->qemu != NULL)
        qemu_abort(host->qemu);
    host_ended(host, NULL);
}

static void host_shutdown_timeout(uv_timer_t *timer)
{
    const struct host *host = timer->data;
    if (host->state == HOST_STOPPING && host->qemu != NULL && qemu_pid(host->qemu) > 0)
        qemu_stop(host->qemu);
}

void host_shutdown(struct host *host)
{
    if (host->state != HOST_RUNNING) {
        host_stop(host, NULL);
        return;
    }
    host->state = HOST_STOPPING;
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", "stopping");
    peer_broadcast(host, event);
    guest_shutdown(host->guest); /* host_ended() follows */
    uv_timer_start(&host->stop_timer, host_shutdown_timeout, SHUTDOWN_TIMEOUT_MS, 0);
}

/* A terminal of its own for the session's main command, before anybody is told it is ready. */
static void host_open_terminal(struct host *host)
{
    const struct session_config *config = &host->config;
    struct terminal *main = NULL;
    if (vm_resumed(host) != NULL && config->argv.count == 0)
        main = terminal_take_main(host);
    if (main != NULL) {
        if (!host->revive &&
            !config->adopt) /* who resumes gets the shell, not what was seen last */
            main->used = ++host->terminal_uses;
        host_main_started(host, 0, NULL);
        return;
    }
    for (struct terminal *t = host->terminals; t != NULL; t = t->next)
        t->main = false; /* what was resumed goes on beside the new one */
    const struct terminal_options options = {
        .argv = &config->argv,
        .cwd = config->cwd,
        .rows = (uint16_t)config->rows,
        .columns = (uint16_t)config->columns,
        .main = true,
    };
    struct terminal *terminal;
    struct error err = {0};
    if (terminal_open(host, &options, &terminal, &err) < 0)
        host_stop(host, &err);
}

/* Not while the new session does its first things. */
static void host_top_up(uv_timer_t *timer)
{
    spare_top_up(timer->data);
}

static void host_ready(struct host *host)
{
    if (!files_settled(host))
        return;
    uv_timer_stop(&host->start_timer);
    if (host->state != HOST_STARTING)
        return;
    if (host->spare) {
        spare_ready(host);
        return;
    }
    uv_timer_start(&host->top_up, host_top_up, TOP_UP_MS, 0);
    host->state = HOST_RUNNING;
    host->ready_at = uv_hrtime();
    log_debug(LOG_HOST, "session %s: ready", host->id);
    host->suspended = false;
    network_ready(host);
    record_state(host, network_state(host));
    record_session(host, vm_resumed(host) != NULL ? "resumed" : "ready", host->config.resume);
    if (host->config.terminal)
        host_open_terminal(host);
    else
        host_main_started(host, 0, NULL);
}

void host_note(struct host *host, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    strv_add(&host->notes, line); /* without memory for it there are worse troubles */
}

void host_main_started(struct host *host, int status, const struct error *why)
{
    cJSON *reply = cJSON_CreateObject();
    if (status != 0) {
        cJSON_AddNumberToObject(reply, "status", status);
        cJSON_AddStringToObject(reply, "message", why->message);
    }
    cJSON_AddStringToObject(reply, "session", host->id);
    cJSON_AddStringToObject(reply, "accel", accel_name(&host->accel));
    if (host->accel.first)
        cJSON_AddStringToObject(reply, "notice", host->accel.reason);
    json_add_strings(reply, "notes", &host->notes);
    if (host->starter != NULL)
        peer_reply(host->starter, host->start_id, reply, NULL);
    else
        cJSON_Delete(reply);
    host->starter = NULL;
}

static void host_start_timeout(uv_timer_t *timer)
{
    struct error why = {0};
    error_set(&why, ETIMEDOUT, "the guest did not get ready within %d seconds",
              START_TIMEOUT_MS / 1000);
    struct host *host = timer->data;
    host->show_console = true;
    host_stop(host, &why);
}

void host_start(struct host *host)
{
    struct error err = {0};
    log_debug(LOG_HOST, "starting");
    host->state = HOST_STARTING;
    int rc = vm_start(host, host_ready, host_ended, &err);
    CLEAN_FREE char *name = str_printf("%s.sock", host->id);
    if (rc == 0 && !host->spare) /* that listens when it is ready */
        rc = name != NULL ? peer_listen(host, name, &err) : error_set(&err, ENOMEM, "no memory");
    if (rc == 0)
        uv_timer_start(&host->start_timer, host_start_timeout, START_TIMEOUT_MS, 0);
    else
        host_stop(host, &err);
}

static void host_signal(uv_signal_t *handle, int signum)
{
    struct error why = {0};
    error_set(&why, EINTR, "the session host was ended by signal %d", signum);
    host_stop(handle->data, &why);
}

static void host_init(struct host *host)
{
    session_config_init(&host->config);
    host->image_hold = host->lock = host->listener_fd = -1;
    uv_timer_init(&host->loop, &host->start_timer);
    uv_timer_init(&host->loop, &host->stop_timer);
    uv_timer_init(&host->loop, &host->finish);
    uv_timer_init(&host->loop, &host->last_words);
    uv_timer_init(&host->loop, &host->top_up);
    host->top_up.data = host;
    host->last_words.data = host;
    uv_signal_init(&host->loop, &host->sigterm);
    host->start_timer.data = host->stop_timer.data = host->finish.data = host->sigterm.data = host;
    uv_signal_start(&host->sigterm, host_signal, SIGTERM);
}

/* Our parent goes on as soon as this process ends; the one that stays belongs to nobody. */
static void host_detach(void)
{
    pid_t pid = fork();
    if (pid != 0)
        _exit(pid > 0 ? 0 : 1);
    setsid();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    if (chdir("/") < 0)
        _exit(1);
}

int host_main(int fd)
{
    host_detach();
    CLEAN_FREE char *log = NULL;
    if (path_xdg(PATH_STATE, "log", &log, NULL) == 0)
        log_open(log, "host");
    struct host *host = calloc(1, sizeof *host);
    if (host == NULL || uv_loop_init(&host->loop) < 0)
        return 1;
    host_init(host);
    struct error err = {0};
    if (peer_add(host, fd, true, &err) < 0) {
        log_warn(LOG_HOST, "%s", err.message);
        return 1;
    }
    uv_run(&host->loop, UV_RUN_DEFAULT);
    if (host->top_up_due)
        spare_top_up(host); /* it was over before its time for that came */
    uv_loop_close(&host->loop);
    session_config_free(&host->config);
    strv_free(&host->notes);
    free(host);
    return 0;
}
