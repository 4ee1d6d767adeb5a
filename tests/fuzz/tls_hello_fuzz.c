/*
 * The body of a ClientHello (the first byte says how its records are cut). However it is cut, the
 * answer is the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(struct buf *out, const void *data, size_t size)
{
    if (buf_append(out, data, size) < 0)
        abort();
}

static void cut(const struct buf *message, size_t piece, struct buf *out)
{
    for (size_t at = 0; at < buf_len(message); at += piece) {
        size_t size = buf_len(message) - at < piece ? buf_len(message) - at : piece;
        const uint8_t header[] = {22, 3, 1, (uint8_t)(size >> 8), (uint8_t)size};
        put(out, header, sizeof header);
        put(out, buf_data(message) + at, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 2000) /* also in records of one byte below SNIFF_MAX */
        return 0;
    size_t length = size - 1;
    const uint8_t header[] = {1, 0, (uint8_t)(length >> 8), (uint8_t)length};
    struct buf message = {0}, whole = {0}, pieces = {0};
    struct sniff one, many;
    put(&message, header, sizeof header);
    put(&message, data + 1, length);
    cut(&message, 16384, &whole);
    cut(&message, 1u + data[0], &pieces);
    (void)sniff(buf_data(&whole), buf_len(&whole), &one);
    (void)sniff(buf_data(&pieces), buf_len(&pieces), &many);
    if (one.kind == SNIFF_MORE || one.kind != many.kind || one.alpn != many.alpn ||
        one.alpn_http1 != many.alpn_http1 || one.ech != many.ech ||
        strcmp(one.server_name, many.server_name) != 0)
        abort();
    buf_free(&message);
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
