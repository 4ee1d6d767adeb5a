/*
 * FUSE messages as a hostile guest sends them, to a file system in memory with shadow rules and to
 * a host directory that is read-only; and saved states as a hostile file holds them. The first
 * byte says which; messages are a length in two bytes and the bytes behind it, whose length field
 * is put right unless the length is odd.
 */
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vm/vfs/mount.h"
#include "vm/vfs/notify.h"
#include "vm/vfs/shadow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uv_loop_t loop;
static struct port *port;
static struct pool *pool;
static struct notifier *notifier;
static struct fdcache *cache;
static struct shadows *shadows;
static struct hooks hooks;
static uint8_t flags; /* of the requests' frames */
static int peer = -1;

static void on_frame(void *context, struct inbound *frame)
{
    (void)context;
    port_done(port, frame);
}

static void on_ended(void *context, const struct error *why)
{
    (void)context;
    (void)why;
}

static void on_mount_ended(void *context, struct mount *mount)
{
    (void)context;
    (void)mount;
}

static const struct port_events port_events = {on_frame, on_ended};
static const struct mount_events mount_events = {on_mount_ended};

static void drain(void)
{
    char buffer[65536];
    while (recv(peer, buffer, sizeof buffer, MSG_DONTWAIT) > 0)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static void start(void)
{
    static const char *const patterns[] = {"/m/hidden", "/m/own=tmpfs"};
    static const uint8_t epoch[RELAY_EPOCH_SIZE];
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0 || uv_loop_init(&loop) < 0 ||
        pool_open(&pool, 1, NULL) < 0 || notifier_open(&notifier, &loop, pool, NULL) < 0 ||
        vfs_port_open(&port, &loop, fds[0], epoch, &port_events, NULL, NULL) < 0 ||
        fdcache_open(&cache, NULL) < 0 || shadows_open(&shadows, patterns, 2, NULL) < 0)
        abort();
    struct hook hook = shadows_hook(shadows);
    hooks_add(&hooks, &hook);
    peer = fds[1];
}

static void request(struct mount *mount, const uint8_t *data, size_t size, bool repair)
{
    struct inbound *frame = malloc(sizeof *frame + size);
    if (frame == NULL || !mount_use(mount))
        abort();
    *frame = (struct inbound){.owner = mount, .flags = flags, .length = (uint32_t)size};
    memcpy(frame->payload, data, size);
    if (repair && size >= sizeof(struct fuse_in_header))
        memcpy(frame->payload, &frame->length, sizeof frame->length);
    fuse_queued(mount, frame);
    fuse_request(&frame->job);
    drain();
}

static void greet(struct mount *mount)
{
    struct {
        struct fuse_in_header header;
        struct fuse_init_in init;
    } hello = {.header = {.len = sizeof hello, .opcode = FUSE_INIT, .unique = 1},
               .init = {.major = 7, .minor = 38, .flags = ~0u}};
    request(mount, (const uint8_t *)&hello, sizeof hello, false);
}

static struct mount *new_mount(bool host)
{
    struct mount_config config = {.id = 1,
                                  .guest = "/m",
                                  .host = host ? "/usr/include/linux" : NULL,
                                  .read_only = host,
                                  .memory = 8u << 20,
                                  .hooks = &hooks,
                                  .cache = cache,
                                  .notifier = notifier,
                                  .port = port,
                                  .events = &mount_events};
    struct mount *mount;
    if (mount_open(&mount, &config, NULL) < 0)
        abort();
    return mount;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (peer < 0)
        start();
    if (size < 2)
        return 0;
    struct mount *mount = new_mount((data[0] & 3) == 1);
    flags = data[0] >> 2;
    bool load = (data[0] & 3) == 2;
    data++, size--;
    if (load) {
        size_t state = size < 4096 ? size : 4096;
        FILE *in = fmemopen((void *)data, state, "r");
        if (in != NULL) {
            mount_load(mount, in, NULL);
            fclose(in);
        }
        data += state, size -= state;
    } else {
        greet(mount);
    }
    while (size > 2) {
        size_t length = (size_t)(data[0] | data[1] << 8);
        data += 2, size -= 2;
        bool repair = (length & 1) == 0;
        if (length > size)
            length = size;
        request(mount, data, length, repair);
        data += length, size -= length;
    }
    FILE *out = fopen("/dev/null", "w");
    if (out != NULL) {
        mount_save(mount, out);
        fclose(out);
    }
    mount_put(mount);
    uv_run(&loop, UV_RUN_NOWAIT);
    return 0;
}
