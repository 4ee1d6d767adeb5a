/* The guest protocol's parser, fed both directions' frames: any bytes are an answer, not a crash.
 */
#include <stddef.h>
#include <stdint.h>

#include "agent/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame frame;
    const char *why;
    int64_t taken;
    volatile uint32_t sum = 0;
    while ((taken = frame_parse(data, size, &wire_rules, &frame, &why)) > 0) {
        for (uint32_t i = 0; i < frame.length; i++)
            sum += frame.payload[i];
        const uint8_t *fields = frame.payload;
        uint32_t left = frame.length;
        struct wire_field field;
        while (wire_field_next(&fields, &left, WIRE_SPAWN_FIELDS, &field) == 1)
            for (uint32_t i = 0; i < field.length; i++)
                sum += field.data[i];
        data += taken;
        size -= (size_t)taken;
    }
    (void)sum; /* reading is the point */
    return 0;
}
