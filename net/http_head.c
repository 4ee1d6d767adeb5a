/*
 * A head arrives complete, its lines known to end in CRLF. What follows from it (target, host,
 * framing, connection) is worked out here once; nobody behind this file looks at those fields
 * again, and the writer makes them anew. A response's faults are all the upstream's: 502.
 *
 * Stricter than RFC 9112 asks, because each of these has been read in two ways by somebody: equal
 * Content-Lengths twice, transfer codings other than chunked, a backslash or a byte beyond ASCII in
 * the target, a fragment.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "net/http_parse.h"

#define LENGTH_DIGITS_MAX 18 /* below 2^63, whoever adds something to it */

struct authority {
    char host[HTTP_HOST_MAX + 1];
    uint16_t port;
};

static int parse_authority(const char *text, size_t size, struct authority *out,
                           struct http_fault *fault)
{
    struct error err = {0};
    if (memchr(text, '@', size) != NULL)
        return http_fault(fault, 400, "the host has a user name in front of it");
    if (http_host_parse(text, size, out->host, &out->port, &err) < 0)
        return http_fault(fault, 400, err.message);
    return 0;
}

static uint16_t port_or_default(uint16_t port, bool tls)
{
    uint16_t standard = tls ? 443 : 80;
    return port != 0 ? port : standard;
}

/* Of "http://host/path" the path becomes the target, the authority goes to *named. */
static int parse_absolute(struct http_head *head, char *target, struct authority *named,
                          struct http_fault *fault)
{
    const char *scheme = head->tls ? "https://" : "http://";
    if (strncasecmp(target, scheme, strlen(scheme)) != 0)
        return http_fault(fault, 400, "the target is neither a path nor a URL of this connection");
    char *authority = target + strlen(scheme);
    size_t size = strcspn(authority, "/?");
    int rc = parse_authority(authority, size, named, fault);
    if (rc < 0)
        return rc;
    char *path = authority + size;
    if (*path != '/')
        *--path = '/'; /* in the place of the host's last character */
    head->target = path;
    return 0;
}

static int check_target(const char *target, struct http_fault *fault)
{
    for (const char *at = target; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c <= ' ' || c >= 0x7f || c == '#' || c == '\\')
            return http_fault(fault, 400,
                              "the target has a character in it that must be percent-encoded");
    }
    return 0;
}

static int parse_target(struct http_head *head, char *target, struct authority *named,
                        struct http_fault *fault)
{
    if (strcmp(head->method, "CONNECT") == 0)
        return http_fault(fault, 501, "CONNECT is not allowed here: ask for the host directly");
    int rc = check_target(target, fault);
    if (rc < 0)
        return rc;
    head->target = target;
    if (target[0] == '/')
        return 0;
    if (strcmp(target, "*") != 0)
        return parse_absolute(head, target, named, fault);
    if (strcmp(head->method, "OPTIONS") == 0)
        return http_fault(fault, 501, "OPTIONS * asks about no resource and is not supported");
    return http_fault(fault, 400, "the target * is for OPTIONS only");
}

static int parse_version(const char *text, int *minor, struct http_fault *fault)
{
    if (strcmp(text, "HTTP/1.1") == 0 || strcmp(text, "HTTP/1.0") == 0) {
        *minor = text[7] - '0';
        return 0;
    }
    bool version = strncmp(text, "HTTP/", 5) == 0 && isdigit((unsigned char)text[5]);
    return version ? http_fault(fault, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
                   : http_fault(fault, 400, "the first line is not METHOD TARGET HTTP/VERSION");
}

static int parse_request_line(struct http_head *head, char *line, struct authority *named,
                              struct http_fault *fault)
{
    char *target = strchr(line, ' ');
    char *version = target != NULL ? strchr(target + 1, ' ') : NULL;
    if (target == NULL || !http_is_token(line, (size_t)(target - line)))
        return http_fault(fault, 400, "the first line is not METHOD TARGET HTTP/VERSION");
    if (version == NULL)
        return http_fault(fault, 505, "the request has no version (HTTP/0.9)");
    *target++ = '\0';
    *version++ = '\0';
    for (const char *at = line; *at != '\0'; at++)
        if (*at >= 'a' && *at <= 'z') /* another method to a rule, the same to some servers */
            return http_fault(fault, 400, "the method is not in upper case");
    int rc = parse_version(version, &head->minor, fault);
    if (rc < 0)
        return rc;
    head->method = line;
    return parse_target(head, target, named, fault);
}

static int parse_status_line(struct http_head *head, char *line, struct http_fault *fault)
{
    const char *status = line + strlen("HTTP/1.x ");
    if (strlen(line) < strlen("HTTP/1.x 000") || line[8] != ' ')
        return http_fault(fault, 502, "the first line is not HTTP/VERSION STATUS REASON");
    line[8] = '\0';
    int rc = parse_version(line, &head->minor, fault);
    if (rc < 0)
        return rc;
    if (strspn(status, "0123456789") != 3 || status[0] == '0' ||
        (status[3] != '\0' && status[3] != ' '))
        return http_fault(fault, 502, "the status is not a number of three digits");
    head->status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
    head->reason = status[3] == ' ' ? status + 4 : "";
    if (!http_is_value(head->reason, strlen(head->reason)))
        return http_fault(fault, 502, "the reason has a control character in it");
    return 0;
}

static int parse_length(struct http_head *head, struct http_fault *fault)
{
    size_t count = http_fields_count(&head->fields, "content-length");
    if (count == 0)
        return 0;
    if (count > 1)
        return http_fault(fault, 400, "there is more than one Content-Length");
    const char *text = http_field_value(&head->fields, "content-length");
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || text[digits] != '\0' || digits > LENGTH_DIGITS_MAX)
        return http_fault(fault, 400, "Content-Length is not a number");
    head->has_length = true;
    head->length = strtoull(text, NULL, 10);
    return 0;
}

/* How the body ends (RFC 9112 6.3), without what status and method say about it. */
static int parse_framing(struct http_head *head, struct http_fault *fault)
{
    int rc = parse_length(head, fault);
    if (rc < 0)
        return rc;
    size_t count = http_fields_count(&head->fields, "transfer-encoding");
    if (count == 0) {
        enum http_framing without = head->status != 0 ? HTTP_BODY_UNTIL_CLOSE : HTTP_BODY_NONE;
        head->framing = head->has_length ? HTTP_BODY_LENGTH : without;
        return 0;
    }
    if (head->has_length)
        return http_fault(fault, 400, "there are both Content-Length and Transfer-Encoding");
    if (head->minor == 0)
        return http_fault(fault, 400, "Transfer-Encoding is not part of HTTP/1.0");
    if (count > 1 ||
        strcasecmp(http_field_value(&head->fields, "transfer-encoding"), "chunked") != 0)
        return http_fault(fault, 501, "the only Transfer-Encoding supported is chunked");
    head->framing = HTTP_BODY_CHUNKED;
    return 0;
}

static int parse_host(struct http_head *head, const struct authority *named, bool absolute,
                      struct http_fault *fault)
{
    size_t count = http_fields_count(&head->fields, "host");
    if (count > 1)
        return http_fault(fault, 400, "there is more than one Host");
    if (count == 0 && (head->minor > 0 || !absolute))
        return http_fault(fault, 400, "there is no Host");
    struct authority host = *named;
    if (count == 1) {
        const char *value = http_field_value(&head->fields, "host");
        int rc = parse_authority(value, strlen(value), &host, fault);
        if (rc < 0)
            return rc;
    }
    if (absolute &&
        (strcmp(host.host, named->host) != 0 ||
         port_or_default(host.port, head->tls) != port_or_default(named->port, head->tls)))
        return http_fault(fault, 400, "the target names another host than Host does");
    memcpy(head->host, host.host, sizeof head->host);
    head->port = host.port;
    return 0;
}

static int parse_request(struct http_head *head, const struct authority *named,
                         struct http_fault *fault)
{
    int rc = parse_host(head, named, named->host[0] != '\0', fault);
    if (rc < 0)
        return rc;
    size_t expects = http_fields_count(&head->fields, "expect");
    if (expects > 0 && head->minor > 0) {
        if (expects > 1 ||
            strcasecmp(http_field_value(&head->fields, "expect"), "100-continue") != 0)
            return http_fault(fault, 417, "the only expectation supported is 100-continue");
        head->expect_continue = head->framing == HTTP_BODY_CHUNKED || head->length > 0;
    }
    head->trailers = http_field_lists(&head->fields, "te", "trailers");
    return http_websocket_request(head, fault);
}

/* What status and request say about the body comes before what its fields say. */
static int parse_response(struct http_head *head, const struct http_reader *reader,
                          struct http_fault *fault)
{
    if (head->status == 101 && !http_websocket_accepted(head, reader->accept))
        return http_fault(fault, 502, "it switches protocols without having been asked to");
    bool never =
        head->status < 200 || head->status == 204 || (reader->expect_connect && head->status < 300);
    if (never && (head->framing == HTTP_BODY_CHUNKED || (head->has_length && head->length > 0)))
        return http_fault(fault, 502, "it announces a body where its status allows none");
    if (never || head->status == 304 || reader->expect_head) {
        head->framing = HTTP_BODY_NONE;
        head->has_length = head->has_length && !never;
    }
    return 0;
}

static int parse_parts(struct http_head *head, size_t size, const struct http_reader *reader,
                       struct http_fault *fault)
{
    struct authority named = {.host = ""};
    char *line = head->fields.text;
    char *end = memchr(line, '\n', size);
    end[-1] = '\0';
    if (strlen(line) != (size_t)(end - 1 - line))
        return http_fault(fault, 400, "the first line has a NUL in it");
    int rc = reader->response ? parse_status_line(head, line, fault)
                              : parse_request_line(head, line, &named, fault);
    if (rc == 0)
        rc = http_fields_parse(&head->fields, end + 1, line + size - 2, fault);
    if (rc == 0)
        rc = parse_framing(head, fault);
    if (rc < 0)
        return rc;
    head->keep_alive = head->minor > 0
                           ? !http_field_lists(&head->fields, "connection", "close")
                           : http_field_lists(&head->fields, "connection", "keep-alive");
    rc =
        reader->response ? parse_response(head, reader, fault) : parse_request(head, &named, fault);
    if (head->framing == HTTP_BODY_UNTIL_CLOSE)
        head->keep_alive = false;
    return rc;
}

int http_head_parse(char *text, size_t size, const struct http_reader *reader,
                    struct http_head **out, struct http_fault *fault)
{
    CLEAN_HTTP_HEAD struct http_head *head = calloc(1, sizeof *head);
    if (head == NULL) {
        free(text);
        return -ENOMEM;
    }
    head->fields.text = text;
    head->tls = reader->tls;
    int rc = parse_parts(head, size, reader, fault);
    if (rc < 0)
        return rc;
    *out = head;
    head = NULL;
    return 0;
}
