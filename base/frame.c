/*
 * The parser keeps no state: it looks at what has come so far each time. A caller reads into a
 * buf, parses until 0 comes back, consumes. That makes every split of the stream the same case.
 */
#include "base/frame.h"

#include <errno.h>
#include <string.h>

int64_t frame_parse(const uint8_t *data, size_t size, const struct frame_rules *rules,
                    struct frame *frame, const char **why)
{
    if (size < FRAME_HEADER_SIZE)
        return 0;
    uint32_t length = get_u32(data);
    uint8_t type = data[4];
    if (type >= rules->count || rules->rows[type].name == NULL) {
        *why = "unknown frame type";
        return -EPROTO;
    }
    if (get_u16(data + 6) != 0) {
        *why = "reserved bits of a frame are set";
        return -EPROTO;
    }
    if (length > rules->rows[type].max) {
        *why = "frame too long for its type";
        return -EPROTO;
    }
    if (length < rules->rows[type].min) {
        *why = "frame too short for its type";
        return -EPROTO;
    }
    if (size - FRAME_HEADER_SIZE < length)
        return 0;
    *frame = (struct frame){
        .type = type,
        .flags = data[5],
        .stream = get_u32(data + 8),
        .length = length,
        .payload = data + FRAME_HEADER_SIZE,
    };
    return (int64_t)FRAME_HEADER_SIZE + length;
}

void frame_header(uint8_t header[FRAME_HEADER_SIZE], uint8_t type, uint8_t flags, uint32_t stream,
                  uint32_t length)
{
    put_u32(header, length);
    header[4] = type;
    header[5] = flags;
    put_u16(header + 6, 0);
    put_u32(header + 8, stream);
}

int frame_append(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                 uint32_t length)
{
    uint8_t *room = buf_reserve(out, FRAME_HEADER_SIZE + (size_t)length);
    if (room == NULL)
        return -ENOMEM;
    frame_header(room, type, flags, stream, length);
    if (length > 0)
        memcpy(room + FRAME_HEADER_SIZE, payload, length);
    buf_added(out, FRAME_HEADER_SIZE + (size_t)length);
    return 0;
}
