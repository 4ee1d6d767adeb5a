/*
 * Bytes from the guest or the upstream against three secrets. A value never goes to a host that is
 * not its own, a redacted stream holds none, and how a stream is cut changes nothing.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/secrets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const values[] = {"secret-value", "se\"cr/et+", "secret-value-2"};

static struct secrets *make(void)
{
    static const char *const placeholders[] = {
        "VMDECK_SECRET_111111111111111111111111111111111111111111111111",
        "VMDECK_SECRET_222222222222222222222222222222222222222222222222",
        "VMDECK_SECRET_333333333333333333333333333333333333333333333333"};
    static const char *const names[] = {"A", "B", "C"};
    struct secrets *secrets = secrets_new(NULL);
    struct strv hosts = {0};
    strv_add(&hosts, "example.com");
    for (int i = 0; i < 3; i++)
        if (secrets_add(secrets, names[i], &hosts, (const uint8_t *)values[i], strlen(values[i]),
                        placeholders[i], NULL) < 0)
            abort();
    secrets_allow_query(secrets, "B", NULL);
    strv_free(&hosts);
    return secrets;
}

static void expect_clean(const struct buf *text)
{
    for (int i = 0; i < 3; i++)
        if (buf_len(text) > 0 &&
            memmem(buf_data(text), buf_len(text), values[i], strlen(values[i])) != NULL)
            abort();
}

static void send_to(const struct secrets *secrets, const char *host, const uint8_t *data,
                    size_t size)
{
    struct secret_target target = {true, host, 443};
    struct secret_uses uses = {0};
    struct buf out = {0};
    int rc = secrets_header(secrets, &target, "authorization", data, size, &out, &uses, NULL);
    if (rc < 0 && buf_len(&out) != 0)
        abort();
    if (strcmp(host, "example.com") != 0)
        expect_clean(&out);
    secret_buf_free(&out);
    (void)secrets_request_target(secrets, &target, (const char *)data, size, &out, &uses, NULL);
    if (strcmp(host, "example.com") != 0)
        expect_clean(&out);
    secret_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct secrets *secrets;
    struct buf whole = {0}, pieces = {0};
    if (secrets == NULL)
        secrets = make();
    send_to(secrets, "example.com", data, size);
    send_to(secrets, "example.org", data, size);
    if (secrets_redact(secrets, 7, data, size, &whole, NULL) < 0)
        abort();
    struct secret_stream *stream = secret_stream_new(secrets, 7);
    size_t step = size > 0 ? data[0] % 17 + 1u : 1;
    for (size_t at = 0; at < size; at += step)
        if (secret_stream_feed(stream, data + at, size - at < step ? size - at : step, false,
                               &pieces) < 0)
            abort();
    if (secret_stream_feed(stream, NULL, 0, true, &pieces) < 0)
        abort();
    secret_stream_free(stream);
    if (buf_len(&whole) != buf_len(&pieces) ||
        (buf_len(&whole) > 0 && memcmp(buf_data(&whole), buf_data(&pieces), buf_len(&whole)) != 0))
        abort();
    expect_clean(&whole);
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
