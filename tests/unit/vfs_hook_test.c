/* Hooks of mounts: the list of them, and what they see and change of requests. No kernel: requests
 * are given to the mount as the port would, answers read from the port's other end. */
#include "unit.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/vfs/mount.h"
#include "vm/vfs/notify.h"
#include "vm/vfs/shadow.h"

struct server {
    uv_loop_t loop;
    struct pool *pool;
    struct notifier *notifier;
    struct port *port;
    struct fdcache *cache;
    struct mount *mount;
    int peer;
    struct hooks hooks;
    /* of the hook: what it wants refused or sent elsewhere, and what it was told */
    int refuse;
    uint8_t redirect;
    int before, after;
    char path[256], to[256];
    int result;
    uint32_t code;
};

static void on_frame(void *context, struct inbound *frame)
{
    port_done(((struct server *)context)->port, frame);
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

static int before(void *context, struct hook_op *op)
{
    struct server *server = context;
    server->before++;
    if (server->refuse < 0)
        op->hidden = op->path;
    op->fs[0] = server->redirect;
    return server->refuse;
}

static void after(void *context, const struct hook_op *op)
{
    struct server *server = context;
    server->after++;
    server->code = op->code;
    server->result = op->result;
    snprintf(server->path, sizeof server->path, "%s", op->path);
    snprintf(server->to, sizeof server->to, "%s", op->to != NULL ? op->to : "");
}

/* A request with this argument, and up to two names behind it; the answer's payload goes into
 * `answer`, its error is returned. */
static int request(struct server *server, uint32_t code, uint64_t node, const void *argument,
                   size_t length, const char *name, const char *other, void *answer, size_t size)
{
    static uint64_t unique;
    unique++;
    struct fuse_in_header header = {.opcode = code, .unique = unique, .nodeid = node};
    uint8_t data[1024];
    memcpy(data, argument, length);
    if (name != NULL)
        length += (size_t)snprintf((char *)data + length, 256, "%s", name) + 1;
    if (other != NULL)
        length += (size_t)snprintf((char *)data + length, 256, "%s", other) + 1;
    header.len = (uint32_t)(sizeof header + length);
    struct inbound *frame = malloc(sizeof *frame + header.len);
    assert_non_null(frame);
    assert_true(mount_use(server->mount));
    *frame = (struct inbound){.owner = server->mount, .length = header.len};
    memcpy(frame->payload, &header, sizeof header);
    memcpy(frame->payload + sizeof header, data, length);
    fuse_queued(server->mount, frame);
    fuse_request(&frame->job);

    struct fuse_out_header out;
    uint8_t reply[FRAME_HEADER_SIZE + sizeof out + 4096];
    ssize_t n = recv(server->peer, reply, sizeof reply, MSG_DONTWAIT);
    assert_true(n >= (ssize_t)(FRAME_HEADER_SIZE + sizeof out));
    memcpy(&out, reply + FRAME_HEADER_SIZE, sizeof out);
    assert_int_equal(out.unique, header.unique);
    assert_int_equal(n, FRAME_HEADER_SIZE + out.len);
    size_t there = out.len - sizeof out;
    if (answer != NULL && out.error == 0)
        memcpy(answer, reply + FRAME_HEADER_SIZE + sizeof out, there < size ? there : size);
    return out.error;
}

static void server_start(struct server *server)
{
    static const uint8_t epoch[RELAY_EPOCH_SIZE];
    static const struct port_events port_events = {on_frame, on_ended};
    static const struct mount_events mount_events = {on_mount_ended};
    static const struct fuse_init_in hello = {.major = 7, .minor = 38};
    char drop[256];
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(uv_loop_init(&server->loop), 0);
    assert_int_equal(pool_open(&server->pool, 1, NULL), 0);
    assert_int_equal(notifier_open(&server->notifier, &server->loop, server->pool, NULL), 0);
    assert_int_equal(fdcache_open(&server->cache, NULL), 0);
    server->peer = fds[1];
    assert_int_equal(
        vfs_port_open(&server->port, &server->loop, fds[0], epoch, &port_events, server, NULL), 0);
    struct mount_config config = {.id = 1,
                                  .guest = "/m",
                                  .memory = 1u << 20,
                                  .hooks = &server->hooks,
                                  .cache = server->cache,
                                  .notifier = server->notifier,
                                  .port = server->port,
                                  .events = &mount_events};
    assert_int_equal(mount_open(&server->mount, &config, NULL), 0);
    assert_true(recv(server->peer, drop, sizeof drop, MSG_DONTWAIT) > 0); /* its HELLO */
    assert_int_equal(request(server, FUSE_INIT, 0, &hello, sizeof hello, NULL, NULL, NULL, 0), 0);
}

static void server_stop(struct server *server)
{
    mount_put(server->mount);
    port_break(server->port);
    pool_close(server->pool);
    notifier_close(server->notifier);
    vfs_port_close(server->port);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    notifier_free(server->notifier);
    fdcache_close(server->cache);
    assert_int_equal(uv_loop_close(&server->loop), 0);
    close(server->peer);
}

static int look_up(struct server *server, uint64_t dir, const char *name,
                   struct fuse_entry_out *entry)
{
    *entry = (struct fuse_entry_out){0};
    int rc = request(server, FUSE_LOOKUP, dir, "", 0, name, NULL, entry, sizeof *entry);
    return rc == 0 && entry->nodeid == 0 ? -ENOENT : rc;
}

static int make_dir(struct server *server, const char *name, struct fuse_entry_out *entry)
{
    static const struct fuse_mkdir_in in = {.mode = 0755};
    return request(server, FUSE_MKDIR, FUSE_ROOT_ID, &in, sizeof in, name, NULL, entry,
                   sizeof *entry);
}

static void test_requests(void **state)
{
    (void)state;
    struct server server = {0};
    struct hook hook = {.before_ops = HOOK_NAMES | HOOK_OP(FUSE_GETATTR),
                        .after_ops = HOOK_OP(FUSE_MKDIR) | HOOK_OP(FUSE_RENAME2),
                        .redirects = true,
                        .before = before,
                        .after = after,
                        .context = &server};
    assert_int_equal(hooks_add(&server.hooks, &hook), 0);
    server_start(&server);
    assert_int_equal(server.before + server.after, 0); /* INIT is nobody's */

    /* seen before and after, with the path in the guest */
    struct fuse_entry_out dir, entry;
    assert_int_equal(make_dir(&server, "dir", &dir), 0);
    assert_int_equal(server.before, 1);
    assert_int_equal(server.after, 1);
    assert_int_equal(server.code, FUSE_MKDIR);
    assert_string_equal(server.path, "/m/dir");
    assert_int_equal(make_dir(&server, "dir", &entry), -EEXIST);
    assert_int_equal(server.result, -EEXIST);

    /* a rename has two paths; its flags come with it */
    static const struct fuse_rename2_in rename_in = {.newdir = FUSE_ROOT_ID,
                                                     .flags = RENAME_NOREPLACE};
    assert_int_equal(request(&server, FUSE_RENAME2, FUSE_ROOT_ID, &rename_in, sizeof rename_in,
                             "dir", "moved", NULL, 0),
                     0);
    assert_string_equal(server.path, "/m/dir");
    assert_string_equal(server.to, "/m/moved");

    /* without a name: the file itself; after() has not asked for it */
    static const struct fuse_getattr_in getattr_in;
    int told = server.after, asked = server.before;
    assert_int_equal(request(&server, FUSE_GETATTR, dir.nodeid, &getattr_in, sizeof getattr_in,
                             NULL, NULL, NULL, 0),
                     0);
    assert_int_equal(server.after, told);
    assert_int_equal(server.before, asked + 1);

    /* refused: not done, and after() is told */
    server.refuse = -EACCES;
    assert_int_equal(make_dir(&server, "no", &entry), -EACCES);
    assert_int_equal(server.result, -EACCES);
    assert_int_equal(request(&server, FUSE_GETATTR, dir.nodeid, &getattr_in, sizeof getattr_in,
                             NULL, NULL, NULL, 0),
                     -EACCES);
    assert_string_equal(server.path, "/m/moved");
    assert_int_equal(server.after, told + 2);
    server.refuse = -ENOENT;
    assert_int_equal(look_up(&server, FUSE_ROOT_ID, "moved", &entry), -ENOENT);
    assert_int_equal(entry.entry_valid, VALID_NEGATIVE); /* the guest's kernel need not ask again */
    server.refuse = 0;
    assert_int_equal(look_up(&server, FUSE_ROOT_ID, "moved", &entry), 0);
    assert_int_equal(look_up(&server, FUSE_ROOT_ID, "no", &entry), -ENOENT);

    /* sent to the private files */
    server.redirect = FS_PRIVATE;
    assert_int_equal(look_up(&server, FUSE_ROOT_ID, "moved", &entry), -ENOENT);
    assert_int_equal(make_dir(&server, "moved", &entry), 0);
    assert_int_not_equal(entry.nodeid, dir.nodeid);
    server.redirect = FS_MAIN;
    assert_int_equal(look_up(&server, FUSE_ROOT_ID, "moved", &entry), 0);
    assert_int_equal(entry.nodeid, dir.nodeid);

    /* what no hook wants */
    asked = server.before;
    assert_int_equal(request(&server, FUSE_STATFS, FUSE_ROOT_ID, "", 0, NULL, NULL, NULL, 0), 0);
    assert_int_equal(server.before, asked);
    server_stop(&server);
}

static void test_list(void **state)
{
    (void)state;
    struct server one = {.refuse = -EPERM}, two = {0};
    struct hooks hooks = {0};
    struct hook hook = {
        .before_ops = HOOK_OP(FUSE_OPEN), .before = before, .after = after, .context = &one};
    struct hook_op op = {.code = FUSE_OPEN, .path = "/p"};
    assert_false(hooks_want(&hooks, FUSE_OPEN));
    assert_int_equal(hooks_before(&hooks, &op), 0);
    assert_int_equal(hooks_add(&hooks, &hook), 0);
    hook.context = &two;
    assert_int_equal(hooks_add(&hooks, &hook), 0);
    assert_true(hooks_want(&hooks, FUSE_OPEN));
    assert_false(hooks_want(&hooks, FUSE_READ));
    assert_false(hooks_want(&hooks, 64 + FUSE_OPEN));
    assert_false(hooks_want(&hooks, UINT32_MAX));
    /* the first that refuses decides; all are told */
    assert_int_equal(hooks_before(&hooks, &op), -EPERM);
    assert_int_equal(one.before, 1);
    assert_int_equal(two.before, 0);
    hooks_after(&hooks, &op, -EPERM, true);
    assert_int_equal(one.after, 1);
    assert_int_equal(two.after, 1);
    hooks_after(&hooks, &op, 0, false);
    assert_int_equal(one.after + two.after, 2);
    while (hooks.count < HOOKS_MAX)
        assert_int_equal(hooks_add(&hooks, &hook), 0);
    assert_int_equal(hooks_add(&hooks, &hook), -ENOSPC);
}

/* Shadow rules as a hook. */
static void test_shadow(void **state)
{
    (void)state;
    static const char *const patterns[] = {"/m/.env", "/m/own=tmpfs", "/m/dir/key"};
    static const struct {
        uint32_t code;
        const char *path, *to;
        int result;
        uint8_t fs, to_fs;
        const char *hidden;
    } rows[] = {
        {FUSE_LOOKUP, "/m/.env", NULL, -ENOENT, FS_MAIN, FS_MAIN, "/m/.env"},
        {FUSE_LOOKUP, "/m/other", NULL, 0, FS_MAIN, FS_MAIN, NULL},
        {FUSE_READDIR, "/m/own", NULL, 0, FS_PRIVATE, FS_MAIN, NULL},
        {FUSE_CREATE, "/m/.env", NULL, -EACCES, FS_MAIN, FS_MAIN, "/m/.env"},
        {FUSE_CREATE, "/m/own/a", NULL, 0, FS_PRIVATE, FS_MAIN, NULL},
        {FUSE_UNLINK, "/m/.env/below", NULL, -ENOENT, FS_MAIN, FS_MAIN, "/m/.env/below"},
        {FUSE_RENAME2, "/m/.env", "/m/b", -ENOENT, FS_MAIN, FS_MAIN, "/m/.env"},
        {FUSE_RENAME2, "/m/a", "/m/.env", -EACCES, FS_MAIN, FS_MAIN, "/m/.env"},
        {FUSE_RENAME2, "/m/a", "/m/own", 0, FS_MAIN, FS_PRIVATE, NULL},
        {FUSE_RENAME2, "/m/a", "/m/b", 0, FS_MAIN, FS_MAIN, NULL},
        {FUSE_RENAME2, "/m/dir", "/m/b", -EXDEV, FS_MAIN, FS_MAIN, NULL},
    };
    struct shadows *shadows;
    assert_int_equal(shadows_open(&shadows, patterns, ARRAY_SIZE(patterns), NULL), 0);
    struct hook hook = shadows_hook(shadows);
    assert_true(hook.redirects);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct hook_op op = {.code = rows[i].code, .path = rows[i].path, .to = rows[i].to};
        assert_true(hook.before_ops & HOOK_OP(op.code));
        int rc = hook.before(hook.context, &op);
        if (rc != rows[i].result || op.fs[0] != rows[i].fs || op.fs[1] != rows[i].to_fs ||
            (op.hidden == NULL) != (rows[i].hidden == NULL) ||
            (op.hidden != NULL && strcmp(op.hidden, rows[i].hidden) != 0))
            fail_msg("row %zu: %d, %u %u, %s", i, rc, op.fs[0], op.fs[1],
                     op.hidden != NULL ? op.hidden : "-");
    }
    struct hook_op exchange = {
        .code = FUSE_RENAME2, .path = "/m/b", .to = "/m/dir", .flags = RENAME_EXCHANGE};
    assert_int_equal(hook.before(hook.context, &exchange), -EXDEV);
    struct hook_op private = {.code = FUSE_LOOKUP, .path = "/m/.env", .fs = {FS_PRIVATE}};
    assert_int_equal(hook.before(hook.context, &private), 0);
    shadows_close(shadows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_shadow),
        cmocka_unit_test(test_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
