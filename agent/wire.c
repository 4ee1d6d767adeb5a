/* The table of frames and the field coding; both are used on either side. */
#include "agent/wire.h"

#include <errno.h>
#include <string.h>

#define WIRE_FIELD_HEADER 5

static const struct frame_rule rows[WIRE_TYPES] = {
    [WIRE_HELLO] = {"hello", 4 + WIRE_EPOCH_SIZE, 4 + WIRE_EPOCH_SIZE},
    [WIRE_CONFIGURE] = {"configure", 0, WIRE_SPAWN_MAX},
    [WIRE_CONFIGURED] = {"configured", 4, 4 + WIRE_TEXT_MAX},
    [WIRE_SPAWN] = {"spawn", 0, WIRE_SPAWN_MAX},
    [WIRE_SPAWNED] = {"spawned", 4, 4},
    [WIRE_FAILED] = {"failed", 8, 8 + WIRE_TEXT_MAX},
    [WIRE_DATA] = {"data", 0, WIRE_DATA_MAX},
    [WIRE_CREDIT] = {"credit", 4, 4},
    [WIRE_RESIZE] = {"resize", 4, 4},
    [WIRE_SIGNAL] = {"signal", 4, 4},
    [WIRE_EXIT] = {"exit", 8, 8},
    [WIRE_ABANDON] = {"abandon", 0, 0},
    [WIRE_SHUTDOWN] = {"shutdown", 0, 0},
    [WIRE_LOG] = {"log", 0, WIRE_TEXT_MAX},
    [WIRE_QUIESCE] = {"quiesce", 0, 0},
    [WIRE_QUIET] = {"quiet", 4, 4},
    [WIRE_SOCKET] = {"socket", 8, 8},
    [WIRE_OWNER] = {"owner", 4, 4 + WIRE_NAME_MAX},
    [WIRE_RELAY] = {"relay", 4, 4},
};

const struct frame_rules wire_rules = {rows, WIRE_TYPES};

enum { FROM_HOST = 1, FROM_AGENT = 2 };

static const uint8_t senders[WIRE_TYPES] = {
    [WIRE_HELLO] = FROM_HOST | FROM_AGENT,
    [WIRE_CONFIGURE] = FROM_HOST,
    [WIRE_CONFIGURED] = FROM_AGENT,
    [WIRE_SPAWN] = FROM_HOST,
    [WIRE_SPAWNED] = FROM_AGENT,
    [WIRE_FAILED] = FROM_AGENT,
    [WIRE_DATA] = FROM_HOST | FROM_AGENT,
    [WIRE_CREDIT] = FROM_HOST | FROM_AGENT,
    [WIRE_RESIZE] = FROM_HOST,
    [WIRE_SIGNAL] = FROM_HOST,
    [WIRE_EXIT] = FROM_AGENT,
    [WIRE_ABANDON] = FROM_HOST,
    [WIRE_SHUTDOWN] = FROM_HOST,
    [WIRE_LOG] = FROM_AGENT,
    [WIRE_QUIESCE] = FROM_HOST,
    [WIRE_QUIET] = FROM_AGENT,
    [WIRE_SOCKET] = FROM_HOST,
    [WIRE_OWNER] = FROM_AGENT,
    [WIRE_RELAY] = FROM_AGENT,
};

bool wire_from_host(uint8_t type)
{
    return type < WIRE_TYPES && (senders[type] & FROM_HOST) != 0;
}

bool wire_from_agent(uint8_t type)
{
    return type < WIRE_TYPES && (senders[type] & FROM_AGENT) != 0;
}

int wire_field_next(const uint8_t **data, uint32_t *size, uint8_t tags, struct wire_field *field)
{
    if (*size == 0)
        return 0;
    if (*size < WIRE_FIELD_HEADER)
        return -EPROTO;
    const uint8_t *p = *data;
    uint32_t length = get_u32(p + 1);
    if (p[0] == 0 || p[0] >= tags || length > *size - WIRE_FIELD_HEADER)
        return -EPROTO;
    *field = (struct wire_field){p[0], length, p + WIRE_FIELD_HEADER};
    *data = p + WIRE_FIELD_HEADER + length;
    *size -= WIRE_FIELD_HEADER + length;
    return 1;
}

int wire_field_append(struct buf *out, uint8_t tag, const void *data, uint32_t length)
{
    uint8_t *room = buf_reserve(out, WIRE_FIELD_HEADER + (size_t)length);
    if (room == NULL)
        return -ENOMEM;
    room[0] = tag;
    put_u32(room + 1, length);
    if (length > 0)
        memcpy(room + WIRE_FIELD_HEADER, data, length);
    buf_added(out, WIRE_FIELD_HEADER + (size_t)length);
    return 0;
}
