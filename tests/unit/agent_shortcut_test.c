/* What the relay of file systems answers without the host. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "agent/shortcut.h"
#include "vm/vfs/relay.h"

enum { MOUNT = 7, DIR = 42 };

/* A request with `text` behind an argument of this size. */
static enum shortcut_kind ask(uint32_t mount, uint32_t opcode, uint64_t node, size_t argument,
                              const char *text, struct shortcut *answer)
{
    struct fuse_in_header header = {.opcode = opcode, .unique = 99, .nodeid = node};
    uint8_t data[256] = {0};
    size_t length = sizeof header + argument;
    if (text != NULL) {
        memcpy(data + length, text, strlen(text) + 1);
        length += strlen(text) + 1;
    }
    header.len = (uint32_t)length;
    memcpy(data, &header, sizeof header);
    enum shortcut_kind kind = shortcut_take(mount, data, length, answer);
    if (kind != SHORTCUT_NONE)
        assert_int_equal(answer->header.unique, 99);
    return kind;
}

static enum shortcut_kind getattr(uint32_t mount, uint64_t node, struct shortcut *answer)
{
    return ask(mount, FUSE_GETATTR, node, sizeof(struct fuse_getattr_in), NULL, answer);
}

/* The host's answer to something, with the attributes of `count` directories behind it. */
static void answer_with(uint64_t node, uint64_t size, unsigned count)
{
    static const uint8_t payload[24] = {0};
    struct fuse_out_header out = {.len = sizeof out + sizeof payload, .unique = 5};
    uint8_t data[1024];
    memcpy(data, &out, sizeof out);
    memcpy(data + sizeof out, payload, sizeof payload);
    for (unsigned i = 0; i < count; i++) {
        struct relay_attr told = {.node = node + i, .attr.attr.size = size};
        memcpy(data + out.len + i * sizeof told, &told, sizeof told);
    }
    assert_int_equal(shortcut_pass(MOUNT, data, out.len + count * sizeof(struct relay_attr)),
                     out.len);
}

static void notify(uint32_t mount, uint64_t node)
{
    struct {
        struct fuse_out_header out;
        struct fuse_notify_inval_inode_out what;
    } note = {{sizeof note, FUSE_NOTIFY_INVAL_INODE, 0}, {.ino = node}};
    assert_int_equal(shortcut_pass(mount, (const uint8_t *)&note, sizeof note), sizeof note);
}

static void test_constant(void **state)
{
    (void)state;
    static const struct {
        uint32_t opcode;
        size_t argument;
        const char *text;
        enum shortcut_kind kind;
        int error;
    } rows[] = {
        {FUSE_RELEASE, sizeof(struct fuse_release_in), NULL, SHORTCUT_TOLD, 0},
        {FUSE_RELEASEDIR, sizeof(struct fuse_release_in), NULL, SHORTCUT_TOLD, 0},
        {FUSE_IOCTL, sizeof(struct fuse_ioctl_in), NULL, SHORTCUT_DONE, -ENOSYS},
        {FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), "security.capability", SHORTCUT_DONE,
         -EOPNOTSUPP},
        {FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), "users", SHORTCUT_DONE, -EOPNOTSUPP},
        {FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), "user.name", SHORTCUT_NONE, 0},
        {FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), "u", SHORTCUT_NONE, 0},
        {FUSE_GETXATTR, 0, NULL, SHORTCUT_NONE, 0},
        {FUSE_GETATTR, sizeof(struct fuse_getattr_in), NULL, SHORTCUT_NONE, 0},
        {FUSE_FLUSH, sizeof(struct fuse_flush_in), NULL, SHORTCUT_NONE, 0},
        {FUSE_LOOKUP, 0, "name", SHORTCUT_NONE, 0},
        {FUSE_FORGET, sizeof(struct fuse_forget_in), NULL, SHORTCUT_NONE, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct shortcut answer;
        enum shortcut_kind kind =
            ask(MOUNT, rows[i].opcode, DIR, rows[i].argument, rows[i].text, &answer);
        if (kind != rows[i].kind || answer.header.error != rows[i].error ||
            answer.header.len != sizeof answer.header)
            fail_msg("row %zu: %d, %d", i, (int)kind, answer.header.error);
    }
}

static void test_attributes(void **state)
{
    (void)state;
    struct shortcut answer;
    shortcut_forget();
    assert_int_equal(getattr(MOUNT, DIR, &answer), SHORTCUT_NONE);

    /* once, the newest, of this mount and directory only */
    answer_with(DIR, 1, 1);
    answer_with(DIR, 2, 2);
    assert_int_equal(getattr(MOUNT + 1, DIR, &answer), SHORTCUT_NONE);
    assert_int_equal(getattr(MOUNT, DIR, &answer), SHORTCUT_DONE);
    assert_int_equal(answer.header.len, sizeof answer);
    assert_int_equal(answer.attr.attr.size, 2);
    assert_int_equal(getattr(MOUNT, DIR, &answer), SHORTCUT_NONE);
    assert_int_equal(getattr(MOUNT, DIR + 1, &answer), SHORTCUT_DONE);

    /* not once the guest has asked for something else there, or the host reported a change */
    answer_with(DIR, 1, 1);
    assert_int_equal(ask(MOUNT, FUSE_SETXATTR, DIR, 0, "user.a", &answer), SHORTCUT_NONE);
    assert_int_equal(getattr(MOUNT, DIR, &answer), SHORTCUT_NONE);
    answer_with(DIR, 1, 1);
    notify(MOUNT + 1, DIR);
    notify(MOUNT, DIR + 1);
    assert_int_equal(getattr(MOUNT, DIR, &answer), SHORTCUT_DONE);
    answer_with(DIR, 1, 1);
    notify(MOUNT, DIR);
    assert_int_equal(getattr(MOUNT, DIR, &answer), SHORTCUT_NONE);
    answer_with(DIR, 1, 1);
    shortcut_forget();
    assert_int_equal(getattr(MOUNT, DIR, &answer), SHORTCUT_NONE);

    /* more than there is room for: the newest are kept */
    for (unsigned i = 0; i < 100; i++)
        answer_with(1000 + i, i, 1);
    assert_int_equal(getattr(MOUNT, 1000, &answer), SHORTCUT_NONE);
    assert_int_equal(getattr(MOUNT, 1099, &answer), SHORTCUT_DONE);
}

/* Messages that no host of ours sends. */
static void test_odd(void **state)
{
    (void)state;
    struct fuse_out_header out = {.len = UINT32_MAX, .unique = 1};
    uint8_t data[sizeof out + sizeof(struct relay_attr) + 3] = {0};
    memcpy(data, &out, sizeof out);
    assert_int_equal(shortcut_pass(MOUNT, data, sizeof out), sizeof out);
    assert_int_equal(shortcut_pass(MOUNT, data, sizeof data), sizeof data);
    out.len = sizeof out;
    memcpy(data, &out, sizeof out);
    assert_int_equal(shortcut_pass(MOUNT, data, sizeof data - 4), sizeof out); /* cut short */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
