/*
 * A pattern's path is kept in the same forms as a request's, made by the same function, so both
 * sides of a comparison went through the same decoding.
 */
#include "net/pattern.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"

#define HOST_FLAGS (HOST_WILDCARD | HOST_UNICODE)

static bool is_token(int c)
{
    return isalnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static int parse_method(const char *text, size_t size, char out[PATTERN_METHOD_MAX],
                        struct error *err)
{
    if (size == 0 || size >= PATTERN_METHOD_MAX)
        return error_set(err, EINVAL, "the method is not 1 to %d characters",
                         PATTERN_METHOD_MAX - 1);
    for (size_t i = 0; i < size; i++) {
        if (!is_token((unsigned char)text[i]))
            return error_set(err, EINVAL, "'%.*s' is not an HTTP method", (int)size, text);
        out[i] = (char)toupper((unsigned char)text[i]);
    }
    out[size] = '\0';
    if (strcmp(out, "*") == 0)
        out[0] = '\0';
    else if (strchr(out, '*') != NULL)
        return error_set(err, EINVAL, "a method is a whole name or '*'");
    return 0;
}

/* The default port stands for none; ":*" is any. */
static int parse_authority(const char *text, size_t size, uint16_t port, struct pattern *out,
                           struct error *err)
{
    if (size >= 2 && memcmp(text + size - 2, ":*", 2) == 0) {
        size -= 2;
        port = 0;
    }
    int rc = authority_split(text, size, HOST_FLAGS, out->host, &out->port, err);
    if (rc == 0 && out->port == 0)
        out->port = port;
    return rc;
}

static int check_path(const char *path, struct error *err)
{
    if (strpbrk(path, "?#") != NULL)
        return error_set(err, EINVAL, "a rule's path has no '?' or '#': queries are not judged");
    /* behind a wildcard, what they would take back is anybody's guess */
    for (const char *segment = path; *segment == '/';) {
        size_t length = strcspn(++segment, "/");
        if ((length == 1 || length == 2) && strspn(segment, ".") >= length)
            return error_set(err, EINVAL, "a rule's path has no '.' or '..' in it");
        segment += length;
    }
    return 0;
}

static int parse_rule(const char *text, struct pattern *out, struct error *err)
{
    const char *space = strchr(text, ' ');
    int rc = 0;
    if (space != NULL) {
        rc = parse_method(text, (size_t)(space - text), out->method, err);
        text = space + strspn(space, " ");
    }
    size_t length = strcspn(text, "/");
    if (rc == 0)
        rc = parse_authority(text, length, 0, out, err);
    if (rc < 0 || text[length] == '\0')
        return rc;
    rc = check_path(text + length, err);
    return rc < 0 ? rc : url_path_parse(text + length, strlen(text + length), &out->path, err);
}

static int parse_origin(const char *text, struct pattern *out, struct error *err)
{
    const char *separator = strstr(text, "://");
    if (separator != NULL) {
        size_t length = (size_t)(separator - text);
        out->plain = length == 4 && strncasecmp(text, "http", 4) == 0;
        if (!out->plain && (length != 5 || strncasecmp(text, "https", 5) != 0))
            return error_set(err, EINVAL, "the scheme is neither https nor http");
        text = separator + 3;
    }
    if (strpbrk(text, "/?# ") != NULL)
        return error_set(err, EINVAL, "only a host and a port can be named here");
    return parse_authority(text, strlen(text), out->plain ? 80 : 443, out, err);
}

static int parse_with(int (*parse)(const char *, struct pattern *, struct error *),
                      const char *text, struct pattern *out, struct error *err)
{
    *out = (struct pattern){0};
    int rc = strlen(text) <= PATTERN_TEXT_MAX ? parse(text, out, err)
                                              : error_set(err, EINVAL, "the text is too long");
    if (rc == 0)
        return 0;
    pattern_free(out);
    return error_wrap(err, "'%.200s'", text);
}

int pattern_parse_rule(const char *text, struct pattern *out, struct error *err)
{
    return parse_with(parse_rule, text, out, err);
}

int pattern_parse_origin(const char *text, struct pattern *out, struct error *err)
{
    return parse_with(parse_origin, text, out, err);
}

void pattern_free(struct pattern *pattern)
{
    url_path_free(&pattern->path);
}

bool pattern_host_matches(const struct pattern *pattern, const char *host, uint16_t port)
{
    return (pattern->port == 0 || port == 0 || pattern->port == port) &&
           glob_matches(pattern->host, host);
}

int pattern_print_rule(const struct pattern *pattern, struct buf *out)
{
    bool v6 = strchr(pattern->host, ':') != NULL;
    const char *path = pattern->path.forms[URL_PATH_STRICT];
    int rc = 0;
    if (pattern->method[0] != '\0')
        rc = buf_printf(out, "%s ", pattern->method);
    if (rc == 0)
        rc = buf_printf(out, v6 ? "[%s]" : "%s", pattern->host);
    if (rc == 0 && pattern->port != 0)
        rc = buf_printf(out, ":%u", pattern->port);
    if (rc == 0 && path != NULL)
        rc = buf_append(out, path, strlen(path));
    return rc;
}
