#include <stdint.h>

#include "http_transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t read_all(const uint8_t *data, size_t size, size_t piece, struct transcript *t)
{
    struct http_reader reader;
    bool refused = false;
    http_reader_requests(&reader, false);
    size_t used = transcript_feed(&reader, data, size, piece, t, &refused);
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
    if (size > 2 * HTTP_HEAD_MAX)
        return 0;
    struct transcript whole = {0}, cut = {0}, again = {0};
    size_t used = read_all(data, size, SIZE_MAX, &whole);
    must(read_all(data, size, 1, &cut) == used);
    must(same(&whole.out, &cut.out));
    must(same(&whole.body, &cut.body));
    /* A head may grow when it is written again, so only what stays below the limits is compared. */
    if (buf_len(&whole.out) > 0 && size < HTTP_LINE_MAX / 2) {
        must(read_all(buf_data(&whole.out), buf_len(&whole.out), SIZE_MAX, &again) ==
             buf_len(&whole.out));
        must(same(&whole.out, &again.out));
    }
    transcript_free(&whole);
    transcript_free(&cut);
    transcript_free(&again);
    return 0;
}
