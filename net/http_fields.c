/*
 * Fields are parsed in place: one copy of the head holds all names and values, and a field is two
 * pointers. Only a replaced value has memory of its own; that may hold a secret, so it is wiped.
 *
 * Fields of one name stay separate lines in their order. Joining them is what RFC 9110 allows, not
 * what it asks for, and Set-Cookie does not survive it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/http_parse.h"

int http_fault(struct http_fault *fault, int status, const char *why)
{
    fault->status = status;
    snprintf(fault->why, sizeof fault->why, "%s", why);
    return -EPROTO;
}

bool http_is_token(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80 || c == 0 || (!isalnum(c) && strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return size > 0;
}

bool http_is_value(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int parse_line(struct http_field *field, char *line, size_t size, struct http_fault *fault)
{
    if (is_blank(line[0]))
        return http_fault(fault, 400, "a header is continued on another line (obs-fold)");
    char *colon = memchr(line, ':', size);
    if (colon == NULL)
        return http_fault(fault, 400, "a header line has no colon");
    size_t name = (size_t)(colon - line);
    if (name > 0 && is_blank(line[name - 1]))
        return http_fault(fault, 400, "a header has a blank before its colon");
    if (!http_is_token(line, name))
        return http_fault(fault, 400, "a header's name has a character that names cannot have");
    char *value = colon + 1;
    char *end = line + size;
    if (!http_is_value(value, (size_t)(end - value)))
        return http_fault(fault, 400, "a header's value has a control character in it");
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    *colon = '\0';
    *end = '\0';
    *field = (struct http_field){.name = line, .value = value};
    return 0;
}

int http_fields_parse(struct http_fields *fields, char *at, const char *end,
                      struct http_fault *fault)
{
    while (at < end) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        if (fields->count == HTTP_FIELDS_MAX)
            return http_fault(fault, 431, "there are more than 100 headers");
        int rc = parse_line(&fields->items[fields->count], at, (size_t)(newline - 1 - at), fault);
        if (rc < 0)
            return rc;
        fields->count++;
        at = newline + 1;
    }
    return 0;
}

struct http_field *http_field_find(struct http_fields *fields, const char *name)
{
    for (size_t i = 0; i < fields->count; i++)
        if (strcasecmp(fields->items[i].name, name) == 0)
            return &fields->items[i];
    return NULL;
}

const char *http_field_value(const struct http_fields *fields, const char *name)
{
    for (size_t i = 0; i < fields->count; i++)
        if (strcasecmp(fields->items[i].name, name) == 0)
            return fields->items[i].value;
    return NULL;
}

size_t http_fields_count(const struct http_fields *fields, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < fields->count; i++)
        count += strcasecmp(fields->items[i].name, name) == 0;
    return count;
}

bool http_list_next(const char **at, const char **item, size_t *length)
{
    const char *start = *at + strspn(*at, ", \t");
    size_t size = strcspn(start, ",");
    *at = start + size;
    while (size > 0 && is_blank(start[size - 1]))
        size--;
    *item = start;
    *length = size;
    return size > 0;
}

bool http_field_lists(const struct http_fields *fields, const char *name, const char *token)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (strcasecmp(fields->items[i].name, name) != 0)
            continue;
        const char *at = fields->items[i].value, *item;
        size_t length;
        while (http_list_next(&at, &item, &length))
            if (length == strlen(token) && strncasecmp(item, token, length) == 0)
                return true;
    }
    return false;
}

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

int http_field_replace(struct http_field *field, const char *value, struct error *err)
{
    if (!http_is_value(value, strlen(value)))
        return error_set(err, EINVAL, "a value for the header %s has a control character in it",
                         field->name);
    char *copy = strdup(value);
    if (copy == NULL)
        return error_set(err, ENOMEM, "out of memory");
    wipe(field->replaced);
    field->replaced = copy;
    field->value = copy;
    return 0;
}

int http_target_replace(struct http_head *head, const char *target, struct error *err)
{
    bool good = target[0] == '/';
    for (const char *at = target; *at != '\0'; at++)
        good = good && *at > ' ' && *at < 0x7f && *at != '#';
    if (!good)
        return error_set(err, EINVAL, "a value put into the URL has a character URLs cannot have");
    char *copy = strdup(target);
    if (copy == NULL)
        return error_set(err, ENOMEM, "out of memory");
    wipe(head->replaced_target);
    head->replaced_target = copy;
    head->target = copy;
    return 0;
}

void http_fields_free(struct http_fields *fields)
{
    for (size_t i = 0; i < fields->count; i++)
        wipe(fields->items[i].replaced);
    fields->count = 0;
    free(fields->text);
    fields->text = NULL;
}

void http_head_free(struct http_head *head)
{
    if (head == NULL)
        return;
    wipe(head->replaced_target);
    http_fields_free(&head->fields);
    free(head);
}
