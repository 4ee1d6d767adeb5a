/*
 * net/ has a thread of its own; its events come on our loop. Requests of clients go to it as they
 * are, and its answers back: what a rule means is its business. Rules that are to stay ("saved") it
 * judges first, then a worker thread writes them into the registry, and then the client is told.
 *
 * Rules made at run time are remembered here, in their order, for a snapshot of the session.
 */
#include "session/host/network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "net/net.h"
#include "session/host/owner.h"
#include "session/host/record.h"
#include "session/protocol/json.h"
#include "session/store/rules.h"

#define RULES_KEPT_MAX 1000 /* of those made at run time */
#define BUNDLE         "/etc/ssl/certs/ca-certificates.crt"
#define CERTIFICATE    "/run/vmdeck/ca.crt"

/*
 * For programs that do not look where the system's authorities are. curl, git, wget, apt and
 * Python's own modules do, but those that bring OpenSSL along, or a list of their own, do not.
 */
static const char *const trust_environment[] = {
    "SSL_CERT_FILE=" BUNDLE,
    "REQUESTS_CA_BUNDLE=" BUNDLE,
    "NODE_EXTRA_CA_CERTS=" CERTIFICATE,
};

/*
 * OpenSSL is not to use SSSE3 where it is emulated, for every PSHUFB is a call: without it
 * ChaCha20, which net/tls.c prefers, is 2.5 times as fast and SHA-256 1.6 times, SHA-1 a fifth
 * slower. It cannot be taken from the CPU: what is built for x86-64-v2 would not start.
 */
#define EMULATED_ENVIRONMENT "OPENSSL_ia32cap=~0x20000000000"

struct kept_rule {
    uint32_t id;
    bool allow, internal;
    char *pattern;
};

struct network {
    struct net *net;       /* NULL: there is none, or no more */
    struct owners *owners; /* as long as `net` */
    unsigned pending;
    struct kept_rule *rules;
    size_t rule_count;
    cJSON *replay; /* rules of the snapshot, for every time it is opened */
};

/* A request on its way through net/. */
struct asked {
    struct host *host;
    struct peer *peer; /* looked for among those that are there; NULL: nobody is told */
    uint32_t id;
    uv_work_t work;
    bool allow, internal;
    bool keep, save; /* the rules: for a snapshot; in the registry */
    bool list;       /* the answer has requests, each of a process */
    uint32_t removed;
    struct strv patterns;
    cJSON *reply;
    struct error error;
};

static struct network *network_get(struct host *host)
{
    if (host->network == NULL)
        host->network = calloc(1, sizeof *host->network);
    return host->network;
}

static void rules_clear(struct network *network)
{
    for (size_t i = 0; i < network->rule_count; i++)
        free(network->rules[i].pattern);
    free(network->rules);
    network->rules = NULL;
    network->rule_count = 0;
}

static void rules_forget(struct network *network, uint32_t id)
{
    for (size_t i = 0; i < network->rule_count; i++)
        if (network->rules[i].id == id) {
            free(network->rules[i].pattern);
            memmove(&network->rules[i], &network->rules[i + 1],
                    (--network->rule_count - i) * sizeof *network->rules);
            return;
        }
}

static void rules_keep(struct network *network, const struct asked *asked, const cJSON *ids)
{
    for (size_t i = 0; i < asked->patterns.count; i++) {
        const cJSON *id = cJSON_GetArrayItem(ids, (int)i);
        if (!cJSON_IsNumber(id) || network->rule_count == RULES_KEPT_MAX)
            return;
        rules_forget(network, (uint32_t)id->valuedouble); /* one that was there goes to the end */
        struct kept_rule *rules =
            realloc(network->rules, (network->rule_count + 1) * sizeof *rules);
        char *pattern = strdup(asked->patterns.items[i]);
        if (rules != NULL)
            network->rules = rules;
        if (rules == NULL || pattern == NULL) {
            free(pattern);
            return;
        }
        rules[network->rule_count++] =
            (struct kept_rule){(uint32_t)id->valuedouble, asked->allow, asked->internal, pattern};
    }
}

static void asked_end(struct asked *asked)
{
    for (struct peer *peer = asked->host->peers; peer != NULL; peer = peer->next)
        if (peer == asked->peer) {
            peer_reply(peer, asked->id, take_ptr(asked->reply),
                       asked->error.code != 0 ? &asked->error : NULL);
            break;
        }
    cJSON_Delete(asked->reply);
    strv_free(&asked->patterns);
    free(asked);
}

/* On a worker thread. */
static void save_rules(uv_work_t *work)
{
    struct asked *asked = work->data;
    struct registry *registry = NULL;
    int rc = registry_open(&registry, NULL, &asked->error);
    for (size_t i = 0; i < asked->patterns.count && rc == 0; i++) {
        struct saved_rule rule = {.verdict = asked->allow ? SAVED_ALLOW : SAVED_DENY,
                                  .internal = asked->internal,
                                  .pattern = asked->patterns.items[i]};
        rc = saved_rule_add(registry, &rule, &asked->error);
    }
    registry_close(registry);
    if (rc < 0)
        error_wrap(&asked->error, "in force for this session, but not saved");
}

static void rules_saved(uv_work_t *work, int status)
{
    (void)status;
    asked_end(work->data);
}

/* Who asks is known of all the requests, as far as it can be. */
static void list_known(void *context)
{
    struct asked *asked = context;
    cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(asked->reply, "requests"))
    {
        owners_describe(asked->host->network->owners, item);
    }
    asked_end(asked);
}

static void on_answer(void *context, const cJSON *result, const struct error *why)
{
    struct asked *asked = context;
    struct network *network = asked->host->network;
    if (result == NULL) {
        asked->error = *why;
        if (asked->peer == NULL && why->code != ECANCELED)
            log_warn(LOG_NET, "a rule of the snapshot: %s", why->message);
        asked_end(asked);
        return;
    }
    asked->reply = cJSON_Duplicate(result, true);
    if (asked->removed != 0)
        rules_forget(network, asked->removed);
    if (asked->keep)
        rules_keep(network, asked, cJSON_GetObjectItemCaseSensitive(result, "rules"));
    if (asked->list) {
        owners_await(network->owners, cJSON_GetObjectItem(asked->reply, "requests"), list_known,
                     asked);
        return;
    }
    if (!asked->save) {
        asked_end(asked);
        return;
    }
    asked->work.data = asked;
    uv_queue_work(&asked->host->loop, &asked->work, save_rules, rules_saved);
}

/* `arguments` is taken over; `peer` may be NULL. */
static int network_ask(struct host *host, struct peer *peer, uint32_t id, const char *name,
                       cJSON *arguments, struct error *err)
{
    const char *scope = json_string(arguments, "scope");
    bool allow = strcmp(name, "allow") == 0, rule = allow || strcmp(name, "deny") == 0;
    struct asked *asked = calloc(1, sizeof *asked);
    int rc = asked != NULL ? json_strings(arguments, "patterns", &asked->patterns) : -ENOMEM;
    if (rc < 0 || (rule && scope == NULL)) {
        if (asked != NULL)
            strv_free(&asked->patterns);
        free(asked);
        cJSON_Delete(arguments);
        return error_set(err, EINVAL, "%s: not a scope and a list of patterns", name);
    }
    asked->host = host;
    asked->peer = peer;
    asked->id = id;
    asked->allow = allow;
    asked->internal = json_bool(arguments, "internal");
    asked->keep = rule && strcmp(scope, "session") == 0;
    asked->save = rule && strcmp(scope, "saved") == 0;
    asked->list = strcmp(name, "requests") == 0;
    if (strcmp(name, "rules_rm") == 0)
        asked->removed = (uint32_t)json_number(arguments, "id", 0);
    net_call(host->network->net, name, arguments, on_answer, asked);
    return 1;
}

int network_request(struct peer *peer, const cJSON *request, struct error *err)
{
    struct host *host = peer->host;
    if (host->network == NULL || host->network->net == NULL)
        return strcmp(json_string(request, "request"), "requests") == 0
                   ? 0 /* none */
                   : error_set(err, ENETDOWN, "this session has no network");
    cJSON *arguments = cJSON_Duplicate(request, true);
    if (arguments == NULL)
        return error_set(err, ENOMEM, "out of memory");
    /* "id" is the request's own number here, and that of what it is about there */
    static const char *const about[] = {"rule", "question"};
    cJSON_DeleteItemFromObjectCaseSensitive(arguments, "request");
    cJSON_DeleteItemFromObjectCaseSensitive(arguments, "id");
    for (size_t i = 0; i < sizeof about / sizeof about[0]; i++) {
        cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(arguments, about[i]);
        if (item != NULL)
            cJSON_AddItemToObject(arguments, "id", item);
    }
    return network_ask(host, peer, (uint32_t)json_number(request, "id", 0),
                       json_string(request, "request"), arguments, err);
}

static void on_stats(void *context, const cJSON *result, const struct error *why)
{
    static const char *const names[][2] = {
        {"received", "network_received"}, {"sent", "network_sent"}, {"flows", "network_flows"}};
    struct asked *asked = context;
    (void)why;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        cJSON_AddNumberToObject(asked->reply, names[i][1],
                                (double)json_number(result, names[i][0], 0));
    asked_end(asked);
}

void network_stats(struct peer *peer, uint32_t id, cJSON *reply)
{
    struct host *host = peer->host;
    bool there = host->network != NULL && host->network->net != NULL;
    struct asked *asked = there ? calloc(1, sizeof *asked) : NULL;
    if (asked == NULL) {
        peer_reply(peer, id, reply, NULL);
        return;
    }
    *asked = (struct asked){.host = host, .peer = peer, .id = id, .reply = reply};
    net_call(host->network->net, "stats", cJSON_CreateObject(), on_stats, asked);
}

static void owner_told(void *context, const cJSON *result, const struct error *why)
{
    (void)context;
    (void)result;
    (void)why;
}

static void on_owner(struct host *host, uint32_t flow)
{
    cJSON *arguments = cJSON_CreateObject();
    cJSON_AddNumberToObject(arguments, "id", flow);
    net_call(host->network->net, "owner", arguments, owner_told, NULL);
}

static void on_flow(void *context, const struct net_flow *flow)
{
    const struct host *host = context;
    owners_opened(host->network->owners, flow);
}

static void on_event(void *context, const char *type, cJSON *fields)
{
    const struct host *host = context;
    unsigned named = event_type_named(type);
    owners_record(host->network->owners, named != 0 ? (enum event_type)named : EVENT_NET, fields);
}

static void on_pending(void *context, unsigned count)
{
    struct host *host = context;
    bool changed = (host->network->pending > 0) != (count > 0);
    host->network->pending = count;
    if (changed && host->state == HOST_RUNNING)
        record_state(host, network_state(host));
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", "pending");
    cJSON_AddNumberToObject(event, "count", count);
    peer_broadcast(host, event);
}

/* The options, with what they point to. */
struct options {
    struct net_options net;
    struct strv saved[3]; /* allow, deny, internal */
    struct net_secret secrets[SESSION_SECRETS_MAX];
};

static void options_free(struct options *options)
{
    for (size_t i = 0; i < 3; i++)
        strv_free(&options->saved[i]);
}

static int options_saved(struct options *options, struct error *err)
{
    CLEAN_SAVED_RULES struct saved_rules rules = {0};
    struct registry *registry = NULL;
    int rc = registry_open(&registry, NULL, err);
    if (rc == 0)
        rc = saved_rules_list(registry, &rules, err);
    registry_close(registry);
    for (size_t i = 0; i < rules.count && rc == 0; i++) {
        const struct saved_rule *rule = &rules.items[i];
        size_t list = rule->verdict == SAVED_DENY ? 1 : rule->internal ? 2 : 0;
        if (strv_add(&options->saved[list], rule->pattern) < 0)
            rc = error_set(err, ENOMEM, "out of memory");
    }
    return rc < 0 ? error_wrap(err, "the saved rules") : 0;
}

static int options_dns(const char *name, enum net_dns *out, struct error *err)
{
    static const struct {
        const char *name;
        enum net_dns dns;
    } modes[] = {
        {"synthetic", NET_DNS_SYNTHETIC}, {"trusted", NET_DNS_TRUSTED}, {"open", NET_DNS_OPEN}};
    *out = NET_DNS_SYNTHETIC;
    if (name == NULL)
        return 0;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(name, modes[i].name) == 0) {
            *out = modes[i].dns;
            return 0;
        }
    return error_set(err, EINVAL, "dns '%.20s': not one of synthetic, trusted, open", name);
}

static int options_fill(const struct session_config *config, struct options *out, struct error *err)
{
    out->net = (struct net_options){
        .allow = &config->allow,
        .deny = &config->deny,
        .internal = &config->internal,
        .saved_allow = &out->saved[0],
        .saved_deny = &out->saved[1],
        .saved_internal = &out->saved[2],
        .policy = config->policy,
        .tcp_map = &config->tcp_map,
        .resolve = &config->resolve,
        .dns_servers = &config->dns_servers,
        .upstream_ca = &config->upstream_ca,
        .secrets = out->secrets,
        .dns_single = config->dns_single,
        .ask = config->ask,
        .ask_seconds = (unsigned)config->ask_seconds,
        .no_websockets = config->no_websockets,
    };
    for (size_t i = 0; i < config->secrets.count; i++) {
        const struct session_secret *secret = &config->secrets.items[i];
        if (secret->value != NULL)
            out->secrets[out->net.secret_count++] = (struct net_secret){
                .name = secret->name,
                .hosts = &secret->hosts,
                .value = (const uint8_t *)secret->value,
                .size = strlen(secret->value),
                .placeholder = secret->placeholder,
                .query = secret->query,
            };
    }
    int rc = options_dns(config->dns, &out->net.dns, err);
    return rc == 0 ? options_saved(out, err) : rc;
}

/* What the guest has in the place of each secret, also for a VM that is made from this one. */
static int placeholders_take(struct host *host, const struct net *net, struct error *err)
{
    const struct strv *list = net_placeholders(net);
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        const char *entry = list->items[i];
        size_t len = strcspn(entry, "=");
        for (size_t j = 0; j < host->config.secrets.count && entry[len] == '='; j++) {
            struct session_secret *secret = &host->config.secrets.items[j];
            if (strlen(secret->name) != len || memcmp(secret->name, entry, len) != 0)
                continue;
            free(secret->placeholder);
            secret->placeholder = strdup(entry + len + 1);
            if (secret->placeholder == NULL)
                return error_set(err, ENOMEM, "out of memory");
        }
    }
    return 0;
}

static void replay_rules(struct host *host)
{
    const cJSON *rule;
    cJSON_ArrayForEach(rule, host->network->replay)
    {
        const char *pattern = json_string(rule, "pattern"), *action = json_string(rule, "action");
        struct error err = {0};
        if (pattern == NULL || action == NULL ||
            (strcmp(action, "allow") != 0 && strcmp(action, "deny") != 0))
            continue;
        cJSON *arguments = cJSON_CreateObject();
        cJSON_AddItemToObject(arguments, "patterns", cJSON_CreateStringArray(&pattern, 1));
        cJSON_AddStringToObject(arguments, "scope", "session");
        cJSON_AddBoolToObject(arguments, "internal", json_bool(rule, "internal"));
        network_ask(host, NULL, 0, action, arguments, &err);
    }
}

int network_open(struct host *host, int nic, struct error *err)
{
    static const struct net_events events = {on_flow, on_event, on_pending};
    struct options options = {0};
    struct network *network = network_get(host);
    if (network == NULL || host->config.no_net) {
        close(nic);
        return network != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
    }
    int rc = options_fill(&host->config, &options, err);
    network->owners = owners_new(host, on_owner);
    if (rc == 0 && network->owners == NULL)
        rc = error_set(err, ENOMEM, "out of memory");
    if (rc == 0)
        rc = net_open(&network->net, &host->loop, nic, &options.net, &events, host, err);
    else
        close(nic);
    options_free(&options);
    if (rc == 0)
        rc = placeholders_take(host, network->net, err);
    if (rc == 0)
        replay_rules(host);
    return rc < 0 ? error_wrap(err, "network") : 0;
}

struct settling {
    struct host *host;
    void (*done)(struct host *host);
};

static void was_settled(void *context, const cJSON *result, const struct error *why)
{
    struct settling settling = *(struct settling *)context;
    (void)result;
    (void)why;
    free(context);
    owners_settle(settling.host->network->owners);
    settling.done(settling.host);
}

void network_settle(struct host *host, void (*done)(struct host *host))
{
    bool there = host->network != NULL && host->network->net != NULL;
    struct settling *settling = there ? malloc(sizeof *settling) : NULL;
    if (settling == NULL) {
        done(host);
        return;
    }
    *settling = (struct settling){host, done};
    net_call(host->network->net, "stop", NULL, was_settled, settling);
}

void network_close(struct host *host)
{
    if (host->network == NULL)
        return;
    struct net *net = take_ptr(host->network->net);
    if (net != NULL)
        net_close(net);
    owners_free(take_ptr(host->network->owners));
    rules_clear(host->network);
    host->network->pending = 0;
}

void network_free(struct host *host)
{
    network_close(host);
    if (host->network != NULL)
        cJSON_Delete(host->network->replay);
    free(host->network);
    host->network = NULL;
}

void network_ready(struct host *host)
{
    struct session_secrets *secrets = &host->config.secrets;
    CLEAN_BUF struct buf missing = {0};
    for (size_t i = 0; i < secrets->count; i++) {
        if (secrets->items[i].value == NULL)
            buf_printf(&missing, "%s%s", buf_len(&missing) > 0 ? ", " : "", secrets->items[i].name);
        session_secret_forget(&secrets->items[i]);
    }
    const char *names = buf_len(&missing) > 0 ? buf_string(&missing) : NULL;
    if (names != NULL)
        host_note(host,
                  "the values of secrets are in no snapshot, and not given again are: %.200s "
                  "(--host-secret NAME@HOST)",
                  names);
}

int network_authority(char **pem, struct error *err)
{
    return net_ca_read(pem, err);
}

const char *network_trust(const struct host *host)
{
    return host->network != NULL && host->network->net != NULL ? net_ca(host->network->net) : NULL;
}

int network_environment(const struct host *host, struct strv *out)
{
    int rc = 0;
    if (host->revive)
        return 0;
    if (!host->accel.kvm)
        rc |= strv_add(out, EMULATED_ENVIRONMENT);
    for (size_t i = 0;
         network_trust(host) != NULL && i < sizeof trust_environment / sizeof trust_environment[0];
         i++)
        rc |= strv_add(out, trust_environment[i]);
    for (size_t i = 0; i < host->config.secrets.count; i++) {
        const struct session_secret *secret = &host->config.secrets.items[i];
        if (secret->placeholder != NULL)
            rc |= strv_addf(out, "%s=%s", secret->name, secret->placeholder);
    }
    for (size_t i = 0; i < host->config.env.count; i++)
        rc |= strv_add(out, host->config.env.items[i]);
    return rc != 0 ? -ENOMEM : 0;
}

void network_reset(struct host *host)
{
    if (host->network != NULL && host->network->net != NULL)
        net_reset(host->network->net);
}

unsigned network_pending(const struct host *host)
{
    return host->network != NULL ? host->network->pending : 0;
}

enum session_state network_state(const struct host *host)
{
    return host->paused                ? SESSION_PAUSED
           : network_pending(host) > 0 ? SESSION_WAITING
                                       : SESSION_RUNNING;
}

void network_save(const struct host *host, cJSON *session)
{
    cJSON_AddItemToObject(session, "network", session_config_network(&host->config));
    cJSON_AddItemToObject(session, "secrets", session_secrets_json(&host->config.secrets, false));
    cJSON *rules = cJSON_AddArrayToObject(session, "rules");
    for (size_t i = 0; host->network != NULL && i < host->network->rule_count; i++) {
        const struct kept_rule *kept = &host->network->rules[i];
        cJSON *rule = cJSON_CreateObject();
        cJSON_AddStringToObject(rule, "action", kept->allow ? "allow" : "deny");
        cJSON_AddBoolToObject(rule, "internal", kept->internal);
        cJSON_AddStringToObject(rule, "pattern", kept->pattern);
        cJSON_AddItemToArray(rules, rule);
    }
}

cJSON *network_secrets(const struct host *host)
{
    const struct net *net = host->network != NULL ? host->network->net : NULL;
    cJSON *list = session_secrets_json(&host->config.secrets, false), *secret;
    cJSON_ArrayForEach(secret, list)
    {
        size_t size = 0;
        const uint8_t *value =
            net != NULL ? net_secret_value(net, json_string(secret, "name"), &size) : NULL;
        char *text = value != NULL ? strndup((const char *)value, size) : NULL;
        if (text == NULL)
            continue;
        cJSON_AddStringToObject(secret, "value", text);
        explicit_bzero(text, size);
        free(text);
    }
    return list;
}

/* Takes out of a stranger's options what would open this host, or this user's trust, to it. */
static cJSON *options_without_reach(const cJSON *network)
{
    static const char *const reach[] = {"internal", "tcp_map",     "resolve",
                                        "dns",      "dns_servers", "upstream_ca"};
    cJSON *rest = cJSON_Duplicate(network, true);
    for (size_t i = 0; i < sizeof reach / sizeof reach[0]; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(rest, reach[i]);
    cJSON *policy = cJSON_Parse(json_string(rest, "policy"));
    cJSON_DeleteItemFromObjectCaseSensitive(policy, "allow-internal");
    char *text = cJSON_PrintUnformatted(policy);
    if (text != NULL)
        cJSON_ReplaceItemInObjectCaseSensitive(rest, "policy", cJSON_CreateString(text));
    cJSON_free(text);
    cJSON_Delete(policy);
    return rest;
}

/* The secrets of the snapshot, under those that are given now. */
static int resume_secrets(struct session_config *config, const cJSON *list, struct error *err)
{
    struct session_secrets old = {0};
    int rc = session_secrets_parse(list, &old, err);
    for (size_t i = 0; i < old.count && rc == 0; i++) {
        struct session_secret *secret = session_secrets_get(&config->secrets, old.items[i].name);
        if (secret == NULL) {
            rc = error_set(err, EINVAL, "more than %d secrets", SESSION_SECRETS_MAX);
        } else {
            free(secret->placeholder);
            secret->placeholder = take_ptr(old.items[i].placeholder);
            if (secret->hosts.count == 0) {
                secret->hosts = old.items[i].hosts;
                secret->query = secret->query || old.items[i].query;
                old.items[i].hosts = (struct strv){0};
            }
        }
    }
    session_secrets_free(&old);
    return rc;
}

int network_resume(struct host *host, const cJSON *session, bool ours, struct error *err)
{
    const cJSON *saved = cJSON_GetObjectItemCaseSensitive(session, "network");
    struct network *network = network_get(host);
    if (network == NULL)
        return error_set(err, ENOMEM, "out of memory");
    cJSON *options = ours ? cJSON_Duplicate(saved, true) : options_without_reach(saved);
    int rc = session_config_default(options, &host->config, err);
    if (!ours && rc == 0 && saved != NULL && !cJSON_Compare(saved, options, true))
        host_note(host, "the snapshot was not made here: what its network options would open on "
                        "this host is left out");
    cJSON_Delete(options);
    if (rc == 0)
        rc = resume_secrets(&host->config, cJSON_GetObjectItemCaseSensitive(session, "secrets"),
                            err);
    const cJSON *rules = cJSON_GetObjectItemCaseSensitive(session, "rules");
    if (rc == 0 && cJSON_IsArray(rules) && cJSON_GetArraySize(rules) <= RULES_KEPT_MAX) {
        network->replay = cJSON_Duplicate(rules, true);
        cJSON *rule;
        cJSON_ArrayForEach(rule, network->replay)
        {
            if (!ours && json_bool(rule, "internal"))
                cJSON_DeleteItemFromObjectCaseSensitive(rule, "action"); /* not replayed */
        }
    }
    return rc;
}
