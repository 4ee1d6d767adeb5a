/*
 * What a hostile agent sends to the file server: the input is what follows HELLO, MOUNTED and INIT
 * of a mount in memory. Ends with the port's end; every request has been worked on then.
 */
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/path.h"
#include "vm/vfs/vfs.h"

#define INPUT_MAX 100000u /* what a socket takes at once */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_failed(void *context, const struct error *why)
{
    (void)why;
    *(bool *)context = true;
}

static void append_beginning(struct buf *out, const uint8_t epoch[RELAY_EPOCH_SIZE])
{
    uint8_t hello[4 + RELAY_EPOCH_SIZE] = {RELAY_VERSION}, done[4] = {0};
    struct {
        struct fuse_in_header header;
        struct fuse_init_in init;
    } init = {.header = {.len = sizeof init, .opcode = FUSE_INIT, .unique = 2},
              .init = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION}};
    memcpy(hello + 4, epoch, RELAY_EPOCH_SIZE);
    frame_append(out, RELAY_HELLO, 0, 0, hello, sizeof hello);
    frame_append(out, RELAY_MOUNTED, 0, 1, done, sizeof done);
    frame_append(out, RELAY_REQUEST, 0, 1, &init, sizeof init);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct vfs_events events = {.failed = on_failed};
    static const struct vfs_mount_spec spec = {.guest = "/m", .memory = 1 << 20};
    CLEAN_BUF struct buf bytes = {0};
    uv_loop_t loop;
    bool failed = false;
    int fds[2];
    struct vfs *vfs;
    if (size > INPUT_MAX || uv_loop_init(&loop) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return 0;
    const struct vfs_config config = {
        .loop = &loop, .fd = fds[0], .epoch = {7}, .events = &events, .context = &failed};
    if (vfs_open(&vfs, &config, NULL) < 0 || vfs_mount(vfs, &spec, NULL) < 0)
        abort();
    append_beginning(&bytes, config.epoch);
    buf_append(&bytes, data, size);
    fd_write_all(fds[1], buf_data(&bytes), buf_len(&bytes));
    shutdown(fds[1], SHUT_WR);
    while (!failed)
        uv_run(&loop, UV_RUN_ONCE);
    vfs_close(vfs);
    close(fds[1]);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return 0;
}
