/*
 * A state machine by table: byte → class, (state, class) → action and next state. Text in the
 * ground state, nearly all of the traffic, is handed on in runs without a look at the table.
 *
 * Why in front of libvterm: its 0.1.4 loses strings that come in two reads, prints APC, honours
 * one mode of several, has no bound on parameters (its array of 16 is written beyond) and puts an
 * array of the text's length on the stack. Behind this filter none of that can be reached.
 *
 * CAN and SUB end anything; ESC inside a string ends it, unless a backslash makes it the
 * terminator. BEL ends an OSC (xterm) but no other string. Controls inside a sequence act at once.
 */
#include "session/term/escape.h"

#include <errno.h>
#include <string.h>

enum state { GROUND, ESC, ESC_MORE, CSI_START, CSI_ARGS, CSI_MORE, CSI_SKIP, STRING, STRING_ESC };
#define STATES (STRING_ESC + 1)

enum class {
    CTL,
    BEL,
    CAN,
    ESCAPE,
    INTER,
    DIGIT,
    COLON,
    SEMI,
    LEADER,
    FINAL,
    CSI,
    OPEN,
    BSLASH,
    DEL,
    HIGH
};
#define CLASSES (HIGH + 1)

enum action {
    NONE,
    EXECUTE,  /* a control character */
    RETRY,    /* look at the byte again in the next state */
    BEGIN,    /* of an escape sequence */
    COLLECT,  /* an intermediate byte */
    ESC_DONE, /* an escape sequence is whole */
    LEAD,     /* <=>? in front of the parameters */
    ARG,      /* a digit or separator */
    CSI_DONE,
    STR_BEGIN,
    STR_PUT,
    STR_BEL, /* BEL in a string: ends it or is dropped */
    STR_DONE,
};

static const uint8_t classes[256] = {
    [0x00 ... 0x06] = CTL,
    [0x07] = BEL,
    [0x08 ... 0x17] = CTL,
    [0x18] = CAN,
    [0x19] = CTL,
    [0x1a] = CAN,
    [0x1b] = ESCAPE,
    [0x1c ... 0x1f] = CTL,
    [0x20 ... 0x2f] = INTER,
    ['0' ... '9'] = DIGIT,
    [':'] = COLON,
    [';'] = SEMI,
    ['<' ... '?'] = LEADER,
    ['@' ... 'O'] = FINAL,
    ['P'] = OPEN,
    ['Q' ... 'W'] = FINAL,
    ['X'] = OPEN,
    ['Y' ... 'Z'] = FINAL,
    ['['] = CSI,
    ['\\'] = BSLASH,
    [']' ... '_'] = OPEN,
    ['`' ... '~'] = FINAL,
    [0x7f] = DEL,
    [0x80 ... 0xff] = HIGH,
};

struct step {
    uint8_t action, next;
};

#define EVERYWHERE(here)                                                      \
    [CTL] = {EXECUTE, here}, [BEL] = {EXECUTE, here}, [CAN] = {NONE, GROUND}, \
    [ESCAPE] = {BEGIN, ESC}, [DEL] = {NONE, here}, [HIGH] = {RETRY, GROUND}

#define FINALS(action, next)                                                   \
    [FINAL] = {action, next}, [CSI] = {action, next}, [OPEN] = {action, next}, \
    [BSLASH] = {action, next}

#define DIGITS(action, next) \
    [DIGIT] = {action, next}, [COLON] = {action, next}, [SEMI] = {action, next}

/* GROUND has no row for text: escape_write hands it on itself. */
static const struct step steps[STATES][CLASSES] = {
    [GROUND] = {EVERYWHERE(GROUND)},
    [ESC] =
        {EVERYWHERE(ESC), [INTER] = {COLLECT, ESC_MORE},
         DIGITS(ESC_DONE, GROUND), [LEADER] = {ESC_DONE, GROUND}, [FINAL] = {ESC_DONE, GROUND},
         [BSLASH] = {ESC_DONE, GROUND}, [CSI] = {NONE, CSI_START}, [OPEN] = {STR_BEGIN, STRING}},
    [ESC_MORE] = {EVERYWHERE(ESC_MORE), [INTER] = {COLLECT, ESC_MORE},
                  DIGITS(ESC_DONE, GROUND), [LEADER] = {ESC_DONE, GROUND},
                  FINALS(ESC_DONE, GROUND)},
    [CSI_START] = {EVERYWHERE(CSI_START), [INTER] = {COLLECT, CSI_MORE},
                   DIGITS(ARG, CSI_ARGS), [LEADER] = {LEAD, CSI_ARGS}, FINALS(CSI_DONE, GROUND)},
    [CSI_ARGS] = {EVERYWHERE(CSI_ARGS), [INTER] = {COLLECT, CSI_MORE},
                  DIGITS(ARG, CSI_ARGS), [LEADER] = {NONE, CSI_SKIP}, FINALS(CSI_DONE, GROUND)},
    [CSI_MORE] = {EVERYWHERE(CSI_MORE), [INTER] = {COLLECT, CSI_MORE},
                  DIGITS(NONE, CSI_SKIP), [LEADER] = {NONE, CSI_SKIP}, FINALS(CSI_DONE, GROUND)},
    [CSI_SKIP] = {EVERYWHERE(CSI_SKIP), [INTER] = {NONE, CSI_SKIP},
                  DIGITS(NONE, CSI_SKIP), [LEADER] = {NONE, CSI_SKIP}, FINALS(NONE, GROUND)},
    [STRING] = {[CTL] = {NONE, STRING},
                [BEL] = {STR_BEL, GROUND},
                [CAN] = {NONE, GROUND},
                [ESCAPE] = {NONE, STRING_ESC},
                [INTER] = {STR_PUT, STRING},
                DIGITS(STR_PUT, STRING),
                [LEADER] = {STR_PUT, STRING},
                FINALS(STR_PUT, STRING),
                [DEL] = {NONE, STRING},
                [HIGH] = {STR_PUT, STRING}},
    [STRING_ESC] = {[CTL] = {RETRY, ESC},
                    [BEL] = {RETRY, ESC},
                    [CAN] = {NONE, GROUND},
                    [ESCAPE] = {RETRY, ESC},
                    [INTER] = {RETRY, ESC},
                    DIGITS(RETRY, ESC),
                    [LEADER] = {RETRY, ESC},
                    [FINAL] = {RETRY, ESC},
                    [CSI] = {RETRY, ESC},
                    [OPEN] = {RETRY, ESC},
                    [BSLASH] = {STR_DONE, GROUND},
                    [DEL] = {RETRY, ESC},
                    [HIGH] = {RETRY, ESC}},
};

static void take_arg(struct escape_csi *csi, uint8_t byte)
{
    if (csi->count == 0) {
        csi->count = 1;
        csi->arg[0] = -1;
    }
    if (csi->count > ESCAPE_ARGS)
        return;
    if (byte == ';' || byte == ':') {
        if (csi->count < ESCAPE_ARGS) {
            csi->arg[csi->count] = -1;
            if (byte == ':')
                csi->joined |= 1U << csi->count;
        }
        csi->count++;
        return;
    }
    int32_t value = csi->arg[csi->count - 1];
    value = (value < 0 ? 0 : value) * 10 + (byte - '0');
    csi->arg[csi->count - 1] = value > ESCAPE_ARG_MAX ? ESCAPE_ARG_MAX : value;
}

static void begin(struct escape *escape)
{
    escape->csi.leader = 0;
    escape->csi.intermediate = 0;
    escape->csi.count = 0;
    escape->csi.joined = 0;
    escape->overflow = false;
    buf_consume(&escape->string, buf_len(&escape->string));
}

/* A sequence with two intermediates is none that we know. */
static void collect(struct escape *escape, uint8_t byte)
{
    if (escape->csi.intermediate != 0)
        escape->overflow = true;
    escape->csi.intermediate = (char)byte;
}

static void string_begin(struct escape *escape, uint8_t byte)
{
    escape->kind = byte == ']' ? ESCAPE_OSC : byte == 'P' ? ESCAPE_DCS : ESCAPE_OTHER;
    escape->opener = (char)byte;
    escape->overflow = escape->kind == ESCAPE_OTHER;
}

static void string_put(struct escape *escape, const uint8_t *bytes, size_t size)
{
    if (escape->overflow)
        return;
    size_t have = buf_len(&escape->string);
    if (have < 3 && size > 3 - have) { /* what its limit is shows in the first three bytes */
        string_put(escape, bytes, 3 - have);
        string_put(escape, bytes + (3 - have), size - (3 - have));
        return;
    }
    bool clipboard =
        escape->kind == ESCAPE_OSC && have >= 3 && memcmp(buf_data(&escape->string), "52;", 3) == 0;
    size_t max = clipboard ? ESCAPE_CLIPBOARD_MAX : ESCAPE_STRING_MAX;
    if (size > max - have || buf_append(&escape->string, bytes, size) != 0) {
        escape->overflow = true;
        buf_free(&escape->string);
    }
}

static void string_done(struct escape *escape, const struct escape_sink *sink, void *user)
{
    const char *text = escape->overflow ? NULL : buf_string(&escape->string);
    if (text != NULL)
        sink->string(user, (enum escape_string)escape->kind, text, buf_len(&escape->string));
    if (escape->string.capacity > ESCAPE_STRING_MAX)
        buf_free(&escape->string);
}

static void csi_done(struct escape *escape, const struct escape_sink *sink, void *user,
                     uint8_t byte)
{
    struct escape_csi *csi = &escape->csi;
    if (escape->overflow)
        return;
    if (csi->count > ESCAPE_ARGS)
        csi->count = ESCAPE_ARGS;
    csi->final = (char)byte;
    sink->csi(user, csi);
}

static void act(struct escape *escape, const struct escape_sink *sink, void *user, uint8_t action,
                uint8_t byte)
{
    switch (action) {
    case EXECUTE:
        sink->control(user, byte);
        break;
    case BEGIN:
        begin(escape);
        break;
    case COLLECT:
        collect(escape, byte);
        break;
    case ESC_DONE:
        if (!escape->overflow)
            sink->escape(user, escape->csi.intermediate, (char)byte);
        break;
    case LEAD:
        escape->csi.leader = (char)byte;
        break;
    case ARG:
        take_arg(&escape->csi, byte);
        break;
    case CSI_DONE:
        csi_done(escape, sink, user, byte);
        break;
    case STR_BEGIN:
        string_begin(escape, byte);
        break;
    case STR_BEL:
        if (escape->kind == ESCAPE_OSC)
            string_done(escape, sink, user);
        else
            escape->state = STRING;
        break;
    case STR_DONE:
        string_done(escape, sink, user);
        break;
    default:
        break;
    }
}

static bool is_text(uint8_t byte)
{
    return byte >= 0x20 && byte != 0x7f;
}

void escape_write(struct escape *escape, const struct escape_sink *sink, void *user,
                  const uint8_t *bytes, size_t size)
{
    size_t i = 0;
    while (i < size) {
        uint8_t state = escape->state;
        if ((state == GROUND || state == STRING) && is_text(bytes[i])) {
            size_t start = i;
            while (i < size && is_text(bytes[i]))
                i++;
            if (state == GROUND)
                sink->text(user, bytes + start, i - start);
            else
                string_put(escape, bytes + start, i - start);
            continue;
        }
        struct step step = steps[state][classes[bytes[i]]];
        escape->state = step.next;
        if (step.action == RETRY) {
            if (step.next == ESC)
                begin(escape);
            continue;
        }
        act(escape, sink, user, step.action, bytes[i]);
        i++;
    }
}

int escape_csi_text(const struct escape_csi *csi, struct buf *out)
{
    char text[ESCAPE_ARGS * 6 + 8];
    size_t at = 0;
    text[at++] = '\033';
    text[at++] = '[';
    if (csi->leader != 0)
        text[at++] = csi->leader;
    for (unsigned i = 0; i < csi->count && i < ESCAPE_ARGS; i++) {
        if (i > 0)
            text[at++] = (csi->joined >> i & 1) != 0 ? ':' : ';';
        char digits[8];
        size_t count = 0;
        for (int32_t value = csi->arg[i]; value > 0 || (value == 0 && count == 0); value /= 10)
            digits[count++] = (char)('0' + value % 10);
        while (count > 0)
            text[at++] = digits[--count];
    }
    if (csi->intermediate != 0)
        text[at++] = csi->intermediate;
    if (csi->final != 0)
        text[at++] = csi->final;
    return buf_append(out, text, at);
}

int escape_pending(const struct escape *escape, struct buf *out)
{
    struct escape_csi csi = escape->csi;
    csi.final = 0;
    switch (escape->state) {
    case GROUND:
        return 0;
    case ESC:
    case ESC_MORE:
        if (escape->overflow) /* will be ignored whatever comes: say it with two intermediates */
            return buf_append(out, "\033  ", 3);
        return csi.intermediate != 0 ? buf_printf(out, "\033%c", csi.intermediate)
                                     : buf_append(out, "\033", 1);
    case CSI_SKIP:
        return buf_append(out, "\033[ 0", 4);
    case STRING:
    case STRING_ESC: {
        const char *end = escape->state == STRING_ESC ? "\033" : "";
        if (escape->overflow && escape->kind != ESCAPE_OSC) /* swallowed to its end, as SOS is */
            return buf_printf(out, "\033X%s", end);
        int status = buf_printf(out, "\033%c", escape->opener);
        if (status == 0 && escape->overflow) /* the same, but BEL ends it */
            status = buf_printf(out, "%*s", ESCAPE_STRING_MAX + 1, "");
        if (status == 0)
            status = buf_append(out, buf_data(&escape->string), buf_len(&escape->string));
        return status == 0 ? buf_append(out, end, strlen(end)) : status;
    }
    default:
        if (escape->overflow)
            return buf_append(out, "\033[  ", 4);
        csi.intermediate = 0;
        if (escape_csi_text(&csi, out) != 0 ||
            (csi.count > ESCAPE_ARGS && buf_append(out, ";", 1) != 0))
            return -ENOMEM;
        return buf_append(out, &escape->csi.intermediate, escape->csi.intermediate != 0);
    }
}

void escape_free(struct escape *escape)
{
    buf_free(&escape->string);
}
