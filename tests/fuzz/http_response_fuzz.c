/* The first byte says what was asked: GET, HEAD, a WebSocket handshake or CONNECT. */
#include <stdint.h>

#include "http_transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(struct http_reader *reader, unsigned kind)
{
    struct http_head request = {.minor = 1, .method = kind == 1 ? "HEAD" : "GET"};
    request.websocket = kind == 2;
    request.fields.count = 1;
    request.fields.items[0] =
        (struct http_field){.name = "Sec-WebSocket-Key", .value = "dGhlIHNhbXBsZSBub25jZQ=="};
    if (kind == 3)
        http_reader_expect_connect(reader);
    else
        must(http_reader_expect(reader, &request) == 0);
}

static size_t read_all(const uint8_t *data, size_t size, unsigned kind, size_t piece,
                       struct transcript *t)
{
    struct http_reader reader;
    struct http_event event;
    bool refused = false;
    http_reader_responses(&reader);
    expect(&reader, kind);
    size_t used = transcript_feed(&reader, data, size, piece, t, &refused);
    if (!refused && http_read_end(&reader, &event, NULL) == 0)
        transcript_note(t, &event);
    http_reader_free(&reader);
    return refused ? SIZE_MAX : used;
}

static bool same(const struct buf *a, const struct buf *b)
{
    return buf_len(a) == buf_len(b) &&
           (buf_len(a) == 0 || memcmp(buf_data(a), buf_data(b), buf_len(a)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 2 * HTTP_HEAD_MAX)
        return 0;
    unsigned kind = data[0] & 3;
    struct transcript whole = {0}, cut = {0}, again = {0};
    size_t used = read_all(data + 1, size - 1, kind, SIZE_MAX, &whole);
    must(read_all(data + 1, size - 1, kind, 1, &cut) == used);
    must(same(&whole.out, &cut.out));
    if (buf_len(&whole.out) > 0 && size < HTTP_LINE_MAX / 2) {
        must(read_all(buf_data(&whole.out), buf_len(&whole.out), kind, SIZE_MAX, &again) ==
             buf_len(&whole.out));
        must(same(&whole.out, &again.out));
    }
    transcript_free(&whole);
    transcript_free(&cut);
    transcript_free(&again);
    return 0;
}
