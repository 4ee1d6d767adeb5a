/*
 * Frames: how both of our protocols (host↔guest in agent/wire.h, client↔session host in
 * session/protocol/) cut a byte stream into messages. All numbers little-endian:
 *
 *     u32 length of the payload | u8 type | u8 flags | u16 zero | u32 stream id | payload
 *
 * What a type means, and how long its payload may be, is the protocol's business: it gives the
 * reader a table with one row per type. A length outside its row ends the conversation before
 * any of the payload is read, so a peer cannot make us allocate. Not thread-safe.
 * Shared with the guest's agent: only libc below this line.
 */
#ifndef VMDECK_BASE_FRAME_H
#define VMDECK_BASE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define FRAME_HEADER_SIZE 12

struct frame {
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    uint32_t length;        /* of the payload */
    const uint8_t *payload; /* valid until more bytes are read into the buffer */
};

/* What one type's payload may be; the row's index is the type. A row without name is no type. */
struct frame_rule {
    const char *name;
    uint32_t min, max; /* bytes of payload, both inclusive */
};

struct frame_rules {
    const struct frame_rule *rows;
    size_t count;
};

/*
 * Takes the next whole frame off the bytes in `data`. Returns how many bytes it covers (header
 * and payload), 0 if it is not complete yet, or -EPROTO for a frame that the rules forbid;
 * *why then says what was wrong (a constant string).
 */
int64_t frame_parse(const uint8_t *data, size_t size, const struct frame_rules *rules,
                    struct frame *frame, const char **why);

/* Writes the header of a frame into 12 bytes. */
void frame_header(uint8_t header[FRAME_HEADER_SIZE], uint8_t type, uint8_t flags, uint32_t stream,
                  uint32_t length);

/* Appends a whole frame. Returns 0 or -ENOMEM. */
int frame_append(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                 uint32_t length);

static inline void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void put_u32(uint8_t *p, uint32_t v)
{
    put_u16(p, (uint16_t)v);
    put_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}

static inline uint32_t get_u32(const uint8_t *p)
{
    return get_u16(p) | (uint32_t)get_u16(p + 2) << 16;
}

static inline uint64_t get_u64(const uint8_t *p)
{
    return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

#endif
