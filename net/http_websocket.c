/*
 * The handshake of RFC 6455 4. Behind a 101 nothing is judged any more, so it must be one: the
 * answer to the request's key is checked, or a server that can be made to say 101 (an echo, a
 * health check) would give the guest a tunnel to whatever host stands behind it.
 *
 * SHA-1 is what the protocol asks for; it secures nothing here.
 */
#include <errno.h>
#include <mbedtls/base64.h>
#include <mbedtls/sha1.h>
#include <mbedtls/version.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/http_parse.h"

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define mbedtls_sha1 mbedtls_sha1_ret
#endif

#define KEY_SIZE 24 /* base64 of 16 bytes */
#define KEY_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static bool says_websocket(const struct http_head *head)
{
    const char *upgrade = http_field_value(&head->fields, "upgrade");
    return upgrade != NULL && strcasecmp(upgrade, "websocket") == 0 &&
           http_field_lists(&head->fields, "connection", "upgrade");
}

int http_websocket_request(struct http_head *head, struct http_fault *fault)
{
    if (!says_websocket(head) || head->minor == 0)
        return 0; /* also h2c and the like: an upgrade is an offer that may be ignored */
    const char *key = http_field_value(&head->fields, "sec-websocket-key");
    const char *version = http_field_value(&head->fields, "sec-websocket-version");
    unsigned char nonce[KEY_SIZE];
    size_t size = 0;
    if (strcmp(head->method, "GET") != 0 || head->framing != HTTP_BODY_NONE)
        return http_fault(fault, 400, "a WebSocket handshake is a GET without body");
    if (http_fields_count(&head->fields, "upgrade") != 1 || version == NULL ||
        http_fields_count(&head->fields, "sec-websocket-version") != 1 ||
        strcmp(version, "13") != 0)
        return http_fault(fault, 400, "a WebSocket handshake has Sec-WebSocket-Version: 13");
    if (key == NULL || http_fields_count(&head->fields, "sec-websocket-key") != 1 ||
        strlen(key) != KEY_SIZE ||
        mbedtls_base64_decode(nonce, sizeof nonce, &size, (const unsigned char *)key, KEY_SIZE) !=
            0 ||
        size != 16)
        return http_fault(fault, 400, "a WebSocket handshake has one key of 16 bytes in base64");
    head->websocket = true;
    return 0;
}

int http_websocket_accept(const char *key, char accept[HTTP_ACCEPT_SIZE])
{
    char text[KEY_SIZE + sizeof KEY_GUID];
    unsigned char digest[20];
    size_t size = 0;
    int length = snprintf(text, sizeof text, "%s" KEY_GUID, key);
    if (length < 0 || (size_t)length >= sizeof text ||
        mbedtls_sha1((const unsigned char *)text, (size_t)length, digest) != 0 ||
        mbedtls_base64_encode((unsigned char *)accept, HTTP_ACCEPT_SIZE, &size, digest,
                              sizeof digest) != 0)
        return -EINVAL;
    return 0;
}

bool http_websocket_accepted(const struct http_head *head, const char *accept)
{
    const char *answer = http_field_value(&head->fields, "sec-websocket-accept");
    return accept[0] != '\0' && answer != NULL && strcmp(answer, accept) == 0 &&
           http_fields_count(&head->fields, "sec-websocket-accept") == 1 && says_websocket(head);
}
