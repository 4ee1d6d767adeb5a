/* manifest.json: what is written is read, and nothing else is. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "vm/image/manifest.h"

#define SHA "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static char *good_text(void)
{
    struct manifest manifest = {
        .arch = "x86_64",
        .name = "Debian 12",
        .kernel_version = "6.1.0-1-cloud-amd64",
        .created = "2024-01-31T12:00:00Z",
        .parts = {[PART_KERNEL] = {"kernel", 11, SHA},
                  [PART_INITRAMFS] = {"initramfs", 22, SHA},
                  [PART_ROOTFS] = {"rootfs.ext4", MANIFEST_PART_MAX, SHA}},
    };
    char *text;
    assert_int_equal(manifest_write(&manifest, &text, NULL), 0);
    return text;
}

static void test_round_trip(void **state)
{
    (void)state;
    CLEAN_FREE char *text = good_text();
    struct manifest manifest;
    assert_int_equal(manifest_parse(text, strlen(text), &manifest, NULL), 0);
    assert_string_equal(manifest.name, "Debian 12");
    assert_string_equal(manifest.parts[PART_ROOTFS].file, "rootfs.ext4");
    assert_true(manifest.parts[PART_ROOTFS].size == MANIFEST_PART_MAX);
    /* sha256("schema 1\narch x86_64\nkernel aa…\ninitramfs aa…\nrootfs aa…\n") */
    assert_string_equal(manifest.id, "4e2738f6f58245667673d48a1ae715b9");
}

/* The text with the first `from` replaced. */
static void replaced(struct buf *out, const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    assert_non_null(at);
    assert_int_equal(buf_append(out, text, (size_t)(at - text)), 0);
    assert_int_equal(buf_append(out, to, strlen(to)), 0);
    assert_int_equal(buf_append(out, at + strlen(from), strlen(at + strlen(from))), 0);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"aaaa", "aaab"},      /* one bit of a hash: the id differs */
        {"x86_64", "aarch64"}, /* the id covers it */
        {"x86_64", "mips"},
        {"\"schema\":\t1", "\"schema\":\t2"},
        {"\"schema\":\t1", "\"schema\":\t\"1\""},
        {"\"initramfs\":\t{", "\"initrd\":\t{"}, /* a part is missing */
        {"\"parts\":\t{", "\"parts\":\t1,\"x\":{"},
        {"\"file\":\t\"kernel\"", "\"file\":\t\"a/b\""},
        {"\"file\":\t\"kernel\"", "\"file\":\t\"..\""},
        {"\"file\":\t\"kernel\"", "\"file\":\t\"\""},
        {"\"file\":\t\"kernel\"", "\"file\":\t\"k\\n\""},
        {"\"file\":\t\"kernel\"", "\"file\":\t\"k\\u0000/x\""},
        {"\"file\":\t\"kernel\"", "\"file\":\t\"k\\u001b[2J\""},
        {"\"file\":\t\"kernel\"", "\"file\":\t7"},
        {"\"file\":\t\"kernel\"", "\"file\":\t\"kernel\",\"file\":\t\"kernel\""},
        {"\"size\":\t11", "\"size\":\t0"},
        {"\"size\":\t11", "\"size\":\t-1"},
        {"\"size\":\t11", "\"size\":\t1.5"},
        {"\"size\":\t11", "\"size\":\t1e400"},
        {"\"size\":\t11", "\"size\":\t17592186044417"},
        {"\"size\":\t11", "\"size\":\t\"11\""},
        {"\"size\":\t11", "\"size\":\tnull"},
        {SHA, "aaaa"},
        {SHA, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
        {SHA, SHA "a"},
        {"Debian 12", "12345678901234567890123456789012345678901234567890123456789012345678901234"
                      "567890123456789012345678901234567890123456789012345678"},
        {"\"created\":", "\"Created\":"},
        {"{", "["},
        {"{", "{} {"},
    };
    CLEAN_FREE char *text = good_text();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_BUF struct buf changed = {0};
        struct manifest manifest;
        struct error err = {0};
        replaced(&changed, text, rows[i].from, rows[i].to);
        int rc = manifest_parse((char *)buf_data(&changed), buf_len(&changed), &manifest, &err);
        if (rc != -EBADMSG)
            print_error("row %zu: %d %s\n", i, rc, err.message);
        assert_int_equal(rc, -EBADMSG);
        assert_string_not_equal(err.message, "");
    }
    struct manifest manifest;
    for (size_t cut = 0; cut < strlen(text); cut++)
        assert_int_equal(manifest_parse(text, cut, &manifest, NULL), -EBADMSG);
}

/* Padded with blanks to the limit it is read, with one more it is not. */
static void test_size(void **state)
{
    (void)state;
    CLEAN_FREE char *text = good_text();
    CLEAN_FREE char *padded = malloc(MANIFEST_SIZE_MAX + 1);
    memset(padded, ' ', MANIFEST_SIZE_MAX + 1);
    memcpy(padded, text, strlen(text));
    struct manifest manifest;
    assert_int_equal(manifest_parse(padded, MANIFEST_SIZE_MAX, &manifest, NULL), 0);
    assert_int_equal(manifest_parse(padded, MANIFEST_SIZE_MAX + 1, &manifest, NULL), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
