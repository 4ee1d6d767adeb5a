/*
 * SPAWN's fields. Two passes: the first checks and counts, the second copies into one allocation,
 * every string terminated.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/environment.h"
#include "agent/spawn.h"

struct totals {
    size_t args, env, bytes;
    unsigned seen; /* bit per tag */
};

/* What one field may be. NULL: fine, else what is wrong. */
static const char *check_field(const struct wire_field *field, struct totals *totals)
{
    bool again = (totals->seen & 1u << field->tag) != 0;
    totals->seen |= 1u << field->tag;
    totals->bytes += (size_t)field->length + 1;
    bool text = field->length == 0 || memchr(field->data, '\0', field->length) == NULL;
    switch (field->tag) {
    case WIRE_SPAWN_ARG:
        if (!text)
            return "an argument with a NUL byte";
        if (totals->args == 0 && field->length == 0)
            return "an empty program name";
        return ++totals->args > SPAWN_ARGS_MAX ? "too many arguments" : NULL;
    case WIRE_SPAWN_ENV:
        if (!environment_valid(field->data, field->length))
            return "an environment entry that is not NAME=VALUE";
        return ++totals->env > ENVIRONMENT_MAX ? "too many environment entries" : NULL;
    case WIRE_SPAWN_CWD:
    case WIRE_SPAWN_USER:
        if (!text || field->length == 0 || field->length > WIRE_TEXT_MAX * 4)
            return "a directory or user that is no text";
        break;
    case WIRE_SPAWN_PTY:
        if (field->length != 4)
            return "a terminal size that is not 4 bytes";
        break;
    default: /* WIRE_SPAWN_NO_STDIN */
        if (field->length != 0)
            return "a flag with content";
        break;
    }
    return again ? "a field given twice" : NULL;
}

static char *copy_text(char **room, const struct wire_field *field)
{
    char *text = *room;
    if (field->length > 0)
        memcpy(text, field->data, field->length);
    text[field->length] = '\0';
    *room += (size_t)field->length + 1;
    return text;
}

static void take_field(struct spawn_request *request, const struct wire_field *field, char **room)
{
    switch (field->tag) {
    case WIRE_SPAWN_ARG:
        request->argv[request->argc++] = copy_text(room, field);
        break;
    case WIRE_SPAWN_ENV:
        request->env[request->env_count++] = copy_text(room, field);
        break;
    case WIRE_SPAWN_CWD:
        request->cwd = copy_text(room, field);
        break;
    case WIRE_SPAWN_USER:
        request->user = copy_text(room, field);
        break;
    case WIRE_SPAWN_PTY:
        request->pty = true;
        request->rows = get_u16(field->data);
        request->columns = get_u16(field->data + 2);
        break;
    default:
        request->no_stdin = true;
        break;
    }
}

static int refuse(struct spawn_failure *failure, int code, const char *text)
{
    *failure = (struct spawn_failure){code, WIRE_STAGE_REQUEST, text};
    return -1;
}

int spawn_parse(const uint8_t *data, uint32_t size, struct spawn_request *request,
                struct spawn_failure *failure)
{
    struct totals totals = {0};
    struct wire_field field;
    const uint8_t *at = data;
    uint32_t left = size;
    int rc;
    *request = (struct spawn_request){0};
    while ((rc = wire_field_next(&at, &left, WIRE_SPAWN_FIELDS, &field)) > 0) {
        const char *wrong = check_field(&field, &totals);
        if (wrong != NULL)
            return refuse(failure, EINVAL, wrong);
    }
    if (rc < 0)
        return refuse(failure, EPROTO, "a field that is unknown or cut short");
    if (totals.args == 0)
        return refuse(failure, EINVAL, "no program name");
    size_t pointers = (totals.args + totals.env + 2) * sizeof(char *);
    request->memory = calloc(1, pointers + totals.bytes);
    if (request->memory == NULL)
        return refuse(failure, ENOMEM, "no memory for the request");
    request->argv = request->memory;
    request->env = request->argv + totals.args + 1;
    char *room = (char *)request->memory + pointers;
    while (wire_field_next(&data, &size, WIRE_SPAWN_FIELDS, &field) > 0)
        take_field(request, &field, &room);
    return 0;
}

void spawn_request_free(struct spawn_request *request)
{
    free(request->memory);
    *request = (struct spawn_request){0};
}
