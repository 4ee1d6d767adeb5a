/*
 * What is recorded of a decision. Query strings, headers and bodies are not; and a value of a
 * secret that stands in a host or path, because somebody tries to carry it out that way, becomes
 * its placeholder here too.
 */
#include <string.h>

#include "base/log.h"
#include "net/proxy_internal.h"

#define PATH_MAX_SHOWN 2048

static void add_text(const struct core *core, cJSON *json, const char *name, const char *text,
                     size_t size)
{
    CLEAN_BUF struct buf clean = {0};
    const char *shown = NULL;
    if (secrets_redact(core->secrets, UINT64_MAX, (const uint8_t *)text, size, &clean, NULL) == 0)
        shown = buf_string(&clean);
    cJSON_AddStringToObject(json, name, shown != NULL ? shown : "");
}

static cJSON *begin(const struct proxy *proxy, enum policy_protocol protocol, const char *host)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "flow", proxy->id);
    cJSON_AddNumberToObject(json, "guest_port", proxy->ends.guest_port);
    cJSON_AddStringToObject(json, "protocol", protocol_name(protocol));
    add_text(proxy->core, json, "host", host, strlen(host));
    cJSON_AddNumberToObject(json, "port", proxy->ends.port);
    return json;
}

static void send_event(const struct core *core, const char *type, cJSON *json)
{
    if (log_wants(LOG_NET)) {
        char *text = cJSON_PrintUnformatted(json);
        log_debug(LOG_NET, "%s %s", type, text != NULL ? text : "");
        cJSON_free(text);
    }
    core->event(core->context, type, json);
}

static cJSON *secret_names(const struct core *core, uint64_t mask)
{
    cJSON *list = cJSON_CreateArray();
    const char *name;
    for (size_t i = 0; (name = secrets_name(core->secrets, i)) != NULL; i++)
        if ((mask >> i & 1) != 0)
            cJSON_AddItemToArray(list, cJSON_CreateString(name));
    return list;
}

void report_exchange(struct proxy *proxy)
{
    const struct core *core = proxy->core;
    const struct exchange *exchange = proxy->exchange;
    const struct policy_request *request = &exchange->request;
    bool allow = exchange->verdict.action == POLICY_ALLOW;
    cJSON *json = begin(proxy, request->protocol, exchange->host);
    if (exchange->upstream != NULL && exchange->upstream->addressed) {
        char address[ADDRESS_TEXT_MAX];
        address_print(&exchange->upstream->address, address);
        cJSON_AddStringToObject(json, "address", address);
    }
    if (request->method != NULL)
        add_text(core, json, "method", request->method, strlen(request->method));
    if (request->path != NULL) {
        size_t size = strcspn(request->path, "?");
        add_text(core, json, "path", request->path, size < PATH_MAX_SHOWN ? size : PATH_MAX_SHOWN);
    }
    cJSON_AddStringToObject(json, "verdict", allow ? "allow" : "deny");
    add_text(core, json, "reason", exchange->verdict.reason, strlen(exchange->verdict.reason));
    if (exchange->verdict.rule != 0)
        cJSON_AddNumberToObject(json, "rule", exchange->verdict.rule);
    if (exchange->status != 0)
        cJSON_AddNumberToObject(json, "status", exchange->status);
    cJSON_AddNumberToObject(json, "sent", (double)exchange->sent);
    cJSON_AddNumberToObject(json, "received", (double)exchange->received);
    cJSON_AddNumberToObject(json, "duration_ms", (double)(uv_now(core->loop) - exchange->started));
    cJSON_AddItemToObject(json, "secrets",
                          secret_names(core, exchange->uses.injected | exchange->uses.blocked));
    send_event(core, "net", json);
}

void report_refused(struct proxy *proxy, enum policy_protocol protocol, const char *host,
                    const char *reason)
{
    cJSON *json = begin(proxy, protocol, host);
    cJSON_AddStringToObject(json, "verdict", "deny");
    add_text(proxy->core, json, "reason", reason, strlen(reason));
    send_event(proxy->core, "net", json);
}

void report_secrets(struct proxy *proxy, uint64_t mask, const char *where, const char *action)
{
    const char *name;
    for (size_t i = 0; (name = secrets_name(proxy->core->secrets, i)) != NULL; i++) {
        if ((mask >> i & 1) == 0)
            continue;
        cJSON *json = cJSON_CreateObject();
        cJSON_AddNumberToObject(json, "flow", proxy->id);
        cJSON_AddStringToObject(json, "secret", name);
        add_text(proxy->core, json, "host", proxy->exchange->host, strlen(proxy->exchange->host));
        add_text(proxy->core, json, "where", where, strlen(where));
        cJSON_AddStringToObject(json, "action", action);
        send_event(proxy->core, "secret", json);
    }
}
