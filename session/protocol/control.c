/* The table of frames. */
#include "session/protocol/control.h"

static const struct frame_rule rows[CONTROL_TYPES] = {
    [CONTROL_MESSAGE] = {"message", 2, CONTROL_MESSAGE_MAX},
    [CONTROL_DATA] = {"data", 0, CONTROL_DATA_MAX},
    [CONTROL_CREDIT] = {"credit", 4, 4},
};

const struct frame_rules control_rules = {rows, CONTROL_TYPES};
