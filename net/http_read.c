/*
 * A state machine over whatever pieces come. Heads, chunk lines and trailers are collected until
 * they are complete, within their limits, because they are judged as a whole; bodies pass through
 * as spans of the caller's bytes. A limit, and a line that ends in a bare LF, is noticed with the
 * byte that breaks it, not with the end that may never come.
 *
 * Not http-parser or llhttp: Debian builds http-parser without its strict mode, and so it takes
 * bare LFs, blanks in header names and "5\rX" for the end of a chunk line. With all that checked
 * in front of it, nothing would be left for it to do.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_parse.h"

enum state {
    STATE_HEAD,
    STATE_SPAN, /* `left` bytes of the body or of a chunk */
    STATE_UNTIL_CLOSE,
    STATE_CHUNK_LINE,
    STATE_CHUNK_END, /* the CRLF behind a chunk's bytes */
    STATE_TRAILERS,
    STATE_END, /* the message is over and was not yet reported so */
    STATE_TUNNEL,
    STATE_BROKEN,
};

#define CHUNK_DIGITS_MAX 15 /* below 2^60 */

struct input {
    const uint8_t *data;
    size_t size, used;
};

void http_reader_requests(struct http_reader *reader, bool tls)
{
    *reader = (struct http_reader){.tls = tls};
}

void http_reader_responses(struct http_reader *reader)
{
    *reader = (struct http_reader){.response = true};
}

static void free_trailers(struct http_reader *reader)
{
    if (reader->trailers != NULL)
        http_fields_free(reader->trailers);
    free(reader->trailers);
    reader->trailers = NULL;
}

void http_reader_free(struct http_reader *reader)
{
    buf_free(&reader->lines);
    free_trailers(reader);
}

int http_reader_expect(struct http_reader *reader, const struct http_head *request)
{
    reader->expected = true;
    reader->expect_head = strcmp(request->method, "HEAD") == 0;
    reader->expect_connect = false;
    reader->accept[0] = '\0';
    if (!request->websocket)
        return 0;
    return http_websocket_accept(http_field_value(&request->fields, "sec-websocket-key"),
                                 reader->accept);
}

void http_reader_expect_connect(struct http_reader *reader)
{
    reader->expected = reader->expect_connect = true;
    reader->expect_head = false;
    reader->accept[0] = '\0';
}

/* Takes bytes up to and with the next LF: 1 when a line is complete, 0 when more must come. */
static int collect_line(struct http_reader *reader, struct input *in, size_t max,
                        struct http_fault *fault, const char *too_long)
{
    const uint8_t *at = in->data + in->used;
    size_t left = in->size - in->used;
    const uint8_t *newline = left > 0 ? memchr(at, '\n', left) : NULL;
    size_t size = newline != NULL ? (size_t)(newline - at) + 1 : left;
    if (buf_len(&reader->lines) + size > max)
        return http_fault(fault, 431, too_long);
    if (buf_append(&reader->lines, at, size) < 0)
        return -ENOMEM;
    in->used += size;
    if (newline == NULL)
        return 0;
    size_t end = buf_len(&reader->lines);
    if (end - reader->line_start < 2 || buf_data(&reader->lines)[end - 2] != '\r')
        return http_fault(fault, 400, "a line ends in LF without CR");
    return 1;
}

/* Who says anything else than HTTP is not to wait until there is a line of it. */
static bool is_binary(const struct http_reader *reader, const struct input *in)
{
    uint8_t first = in->used < in->size ? in->data[in->used] : '\r';
    return !reader->response && buf_len(&reader->lines) == 0 && first != '\r' && first != '\n' &&
           (first < ' ' || first >= 0x7f);
}

/* Collects lines up to and with an empty one: 1 when they are complete. */
static int collect_lines(struct http_reader *reader, struct input *in, size_t max,
                         struct http_fault *fault)
{
    for (;;) {
        bool first = reader->line_start == 0 && reader->state == STATE_HEAD;
        if (first && is_binary(reader, in))
            return http_fault(fault, 400, "what came is not HTTP");
        int rc = collect_line(reader, in, first ? HTTP_LINE_MAX : max, fault,
                              first ? "the first line is longer than 8 KiB"
                                    : "the headers are larger than allowed");
        if (rc == -EPROTO && first && fault->status == 431)
            fault->status = 414;
        if (rc <= 0)
            return rc;
        size_t end = buf_len(&reader->lines);
        bool empty = end - reader->line_start == 2;
        reader->line_start = end;
        if (empty)
            return 1;
    }
}

/* The collected lines as a string of its own, which the caller frees; the collection is empty. */
static char *take_lines(struct http_reader *reader, size_t *size)
{
    *size = buf_len(&reader->lines);
    char *text = malloc(*size + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, buf_data(&reader->lines), *size);
    text[*size] = '\0';
    buf_free(&reader->lines);
    reader->line_start = 0;
    return text;
}

static enum state body_state(struct http_reader *reader, const struct http_head *head)
{
    reader->left = head->length;
    reader->chunked = head->framing == HTTP_BODY_CHUNKED;
    switch (head->framing) {
    case HTTP_BODY_CHUNKED:
        return STATE_CHUNK_LINE;
    case HTTP_BODY_UNTIL_CLOSE:
        return STATE_UNTIL_CLOSE;
    case HTTP_BODY_LENGTH:
        return head->length > 0 ? STATE_SPAN : STATE_END;
    case HTTP_BODY_NONE:
        break;
    }
    return STATE_END;
}

/* What a response's head says about what follows. */
static void head_arrived(struct http_reader *reader, const struct http_head *head)
{
    reader->state = (int)body_state(reader, head);
    reader->tunnel = head->status == 101 ||
                     (reader->expect_connect && head->status >= 200 && head->status < 300);
    if (head->status >= 200)
        reader->expected = false;
}

/* Reports the head of the next message once it is complete. */
static int read_head(struct http_reader *reader, struct input *in, struct http_event *event,
                     struct http_fault *fault)
{
    if (reader->response && !reader->expected && in->used < in->size)
        return http_fault(fault, 502, "a response came that nobody asked for");
    int rc = collect_lines(reader, in, HTTP_HEAD_MAX, fault);
    if (rc == 1 && buf_len(&reader->lines) == 2)
        return http_fault(fault, 400, "there is an empty line where a message should start");
    if (rc <= 0)
        return rc;
    size_t size;
    char *text = take_lines(reader, &size);
    if (text == NULL)
        return -ENOMEM;
    rc = http_head_parse(text, size, reader, &event->head, fault);
    if (rc < 0)
        return rc;
    event->kind = HTTP_EVENT_HEAD;
    head_arrived(reader, event->head);
    return 0;
}

/* Reports what is there of `left` bytes, or of an endless body. */
static void read_span(struct http_reader *reader, struct input *in, struct http_event *event)
{
    size_t size = in->size - in->used;
    if (reader->state == STATE_SPAN) {
        if (size > reader->left)
            size = (size_t)reader->left;
        reader->left -= size;
        if (reader->left == 0)
            reader->state = reader->chunked ? STATE_CHUNK_END : STATE_END;
    }
    if (size > 0)
        *event =
            (struct http_event){.kind = HTTP_EVENT_DATA, .data = in->data + in->used, .size = size};
    in->used += size;
}

/* chunk-size [ chunk-ext ] CRLF. Extensions mean nothing to us and go no further. */
static int parse_chunk_line(struct http_reader *reader, struct http_fault *fault)
{
    const char *line = (const char *)buf_data(&reader->lines);
    size_t size = buf_len(&reader->lines) - 2;
    size_t digits = 0;
    while (digits < size && isxdigit((unsigned char)line[digits]))
        digits++;
    if (digits == 0 || digits > CHUNK_DIGITS_MAX)
        return http_fault(fault, 400, "a chunk's size is not a hexadecimal number");
    if (digits < size && line[digits] != ';')
        return http_fault(fault, 400, "a chunk's size has something behind it");
    if (!http_is_value(line + digits, size - digits))
        return http_fault(fault, 400, "a chunk's extension has a control character in it");
    reader->left = strtoull(line, NULL, 16); /* ends at the CR at the latest */
    buf_free(&reader->lines);
    reader->state = reader->left > 0 ? STATE_SPAN : STATE_TRAILERS;
    return 0;
}

static int read_chunk_line(struct http_reader *reader, struct input *in, struct http_fault *fault)
{
    int rc = collect_line(reader, in, HTTP_CHUNK_LINE_MAX, fault,
                          "a chunk's size line is longer than 256 bytes");
    if (rc == -EPROTO && fault->status == 431)
        fault->status = 400;
    return rc <= 0 ? rc : parse_chunk_line(reader, fault);
}

static int read_chunk_end(struct http_reader *reader, struct input *in, struct http_fault *fault)
{
    while (in->used < in->size) {
        if (in->data[in->used++] != (reader->line_start == 0 ? '\r' : '\n'))
            return http_fault(fault, 400, "a chunk is longer than its size says");
        if (++reader->line_start == 2) {
            reader->line_start = 0;
            reader->state = STATE_CHUNK_LINE;
            return 0;
        }
    }
    return 0;
}

static int read_trailers(struct http_reader *reader, struct input *in, struct http_fault *fault)
{
    int rc = collect_lines(reader, in, HTTP_TRAILERS_MAX, fault);
    if (rc <= 0)
        return rc;
    bool none = buf_len(&reader->lines) == 2;
    size_t size;
    char *text = take_lines(reader, &size);
    struct http_fields *trailers = text != NULL ? calloc(1, sizeof *trailers) : NULL;
    if (trailers == NULL) {
        free(text);
        return -ENOMEM;
    }
    trailers->text = text;
    reader->trailers = trailers;
    rc = http_fields_parse(trailers, text, text + size - 2, fault);
    if (none)
        free_trailers(reader);
    reader->state = STATE_END;
    return rc;
}

static void report_end(struct http_reader *reader, struct http_event *event)
{
    event->kind = reader->tunnel ? HTTP_EVENT_TUNNEL : HTTP_EVENT_END;
    event->trailers = reader->trailers;
    reader->state = reader->tunnel ? STATE_TUNNEL : STATE_HEAD;
}

/* One step of the machine. It is over when an event is due, or nothing happened. */
static int step(struct http_reader *reader, struct input *in, struct http_event *event,
                struct http_fault *fault)
{
    switch ((enum state)reader->state) {
    case STATE_HEAD:
        return read_head(reader, in, event, fault);
    case STATE_SPAN:
    case STATE_UNTIL_CLOSE:
        read_span(reader, in, event);
        return 0;
    case STATE_CHUNK_LINE:
        return read_chunk_line(reader, in, fault);
    case STATE_CHUNK_END:
        return read_chunk_end(reader, in, fault);
    case STATE_TRAILERS:
        return read_trailers(reader, in, fault);
    case STATE_END:
        report_end(reader, event);
        return 0;
    case STATE_TUNNEL:
        event->kind = HTTP_EVENT_TUNNEL;
        return 0;
    case STATE_BROKEN:
        break;
    }
    return http_fault(fault, 400, "an earlier message on the connection was broken");
}

int http_read(struct http_reader *reader, const void *data, size_t size, size_t *used,
              struct http_event *event, struct error *err)
{
    struct input in = {.data = data != NULL ? data : (const void *)"", .size = size};
    struct http_fault fault = {0};
    *event = (struct http_event){.kind = HTTP_EVENT_MORE};
    *used = 0;
    free_trailers(reader);
    for (;;) {
        int before = reader->state;
        size_t at = in.used;
        int rc = step(reader, &in, event, &fault);
        *used = in.used;
        if (rc < 0) {
            reader->state = STATE_BROKEN;
            reader->refusal = reader->response ? 502 : fault.status;
            return rc == -ENOMEM ? error_set(err, ENOMEM, "out of memory")
                                 : error_set(err, EPROTO, "%s", fault.why);
        }
        if (event->kind != HTTP_EVENT_MORE || (reader->state == before && in.used == at))
            return 0;
    }
}

int http_read_end(struct http_reader *reader, struct http_event *event, struct error *err)
{
    *event = (struct http_event){.kind = HTTP_EVENT_MORE};
    enum state state = (enum state)reader->state;
    if (state == STATE_UNTIL_CLOSE || state == STATE_END) {
        report_end(reader, event);
        return 0;
    }
    if (state == STATE_TUNNEL ||
        (state == STATE_HEAD && buf_len(&reader->lines) == 0 && !reader->expected))
        return 0;
    reader->state = STATE_BROKEN;
    reader->refusal = reader->response ? 502 : 400;
    return error_set(err, EPROTO, "the connection ended in the middle of a message");
}
