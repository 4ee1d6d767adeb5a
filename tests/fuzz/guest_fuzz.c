/*
 * The host's end of the guest protocol, fed by a hostile agent that knows the handshake: whatever
 * follows, the host ends the conversation or goes on, and holds no more than its windows.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/path.h"
#include "vm/guest.h"

#define COMMANDS 3
#define LOOKUPS  3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    bool ready, ended;
    uint64_t bytes;
};

static void on_ready(void *context)
{
    ((struct seen *)context)->ready = true;
}

static void on_ended(void *context, const struct error *why)
{
    (void)why;
    ((struct seen *)context)->ended = true;
}

static void on_spawned(void *context, uint32_t pid)
{
    (void)context;
    (void)pid;
}

static void on_failed(void *context, uint32_t code, enum wire_stage stage, const char *text)
{
    (void)code;
    (void)stage;
    while (*text != '\0')
        ((struct seen *)context)->bytes += (*text++ == 'x');
}

static void on_output(void *context, unsigned channel, const uint8_t *bytes, uint32_t size,
                      bool last)
{
    struct seen *seen = context;
    (void)channel;
    (void)last;
    for (uint32_t i = 0; i < size; i++)
        seen->bytes += bytes[i] & 1u;
}

static void on_accepted(void *context, uint32_t bytes)
{
    (void)context;
    (void)bytes;
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    (void)context;
    (void)code;
    (void)signal;
}

static void on_owner(void *context, uint32_t tag, uint32_t pid, const char *name)
{
    (void)tag;
    (void)pid;
    while (*name != '\0')
        if (*name < ' ' || *name++ > '~')
            abort();
    ((struct seen *)context)->bytes++;
}

static void greet(int fd)
{
    uint8_t hello[FRAME_HEADER_SIZE + 4 + WIRE_EPOCH_SIZE];
    CLEAN_BUF struct buf answer = {0};
    if (read(fd, hello, sizeof hello) != (ssize_t)sizeof hello)
        abort();
    frame_append(&answer, WIRE_HELLO, 0, 0, hello + FRAME_HEADER_SIZE, 4 + WIRE_EPOCH_SIZE);
    frame_append(&answer, WIRE_CONFIGURED, 0, 0, "\0\0\0\0", 4);
    fd_write_all(fd, buf_data(&answer), buf_len(&answer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct guest_events events = {.ready = on_ready, .ended = on_ended};
    static const struct guest_command_events command_events = {on_spawned, on_failed, on_output,
                                                               on_accepted, on_exited};
    uv_loop_t loop;
    struct seen seen = {0};
    struct guest *guest;
    int fds[2];
    if (size > 65536 || uv_loop_init(&loop) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return 0;
    const struct guest_settings settings = {.hostname = "h"};
    if (guest_open(&guest, &loop, fds[0], &settings, &events, &seen, NULL) < 0)
        abort();
    greet(fds[1]);
    while (!seen.ready)
        uv_run(&loop, UV_RUN_ONCE);
    CLEAN_STRV struct strv argv = {0};
    strv_add(&argv, "true");
    for (int i = 0; i < COMMANDS; i++) {
        struct guest_command *command;
        const struct guest_spawn spawn = {.argv = &argv};
        guest_spawn(guest, &spawn, &command_events, &seen, &command, NULL);
        if (i == 0)
            guest_abandon(command);
    }
    const struct guest_socket socket = {.local_port = 40000};
    for (uint32_t i = 0; i < LOOKUPS; i++)
        guest_find_owner(guest, &socket, on_owner, &seen, i);
    fd_write_all(fds[1], data, size);
    shutdown(fds[1], SHUT_WR);
    while (!seen.ended)
        uv_run(&loop, UV_RUN_ONCE);
    guest_close(guest);
    close(fds[1]);
    uv_run(&loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop) != 0)
        abort();
    return 0;
}
