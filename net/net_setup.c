/* Options become objects, in an order in which each finds what it needs; freed the other way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "net/ca.h"
#include "net/dns_options.h"
#include "net/net_internal.h"
#include "net/pins.h"
#include "net/proxy.h"
#include "net/rules_file.h"

static int add_rules(struct policy *policy, const struct strv *texts, enum rule_action action,
                     enum rule_source source, const char *option, struct error *err)
{
    for (size_t i = 0; texts != NULL && i < texts->count; i++) {
        int rc = policy_add(policy, action, source, texts->items[i], NULL, err);
        if (rc < 0)
            return error_wrap(err, "%s '%.80s'", option, texts->items[i]);
    }
    return 0;
}

static int make_policy(struct core *core, const struct net_options *options, struct error *err)
{
    const struct {
        const struct strv *texts;
        enum rule_action action;
        enum rule_source source;
        const char *option;
    } lists[] = {
        {options->allow, RULE_ALLOW, RULE_OPTION, "--allow-host"},
        {options->deny, RULE_DENY, RULE_OPTION, "--deny-host"},
        {options->internal, RULE_INTERNAL, RULE_OPTION, "--allow-internal"},
        {options->saved_allow, RULE_ALLOW, RULE_SAVED, "saved rule"},
        {options->saved_deny, RULE_DENY, RULE_SAVED, "saved rule"},
        {options->saved_internal, RULE_INTERNAL, RULE_SAVED, "saved rule"},
    };
    uint32_t ask = 0;
    core->policy = policy_new();
    if (core->policy == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        int rc = add_rules(core->policy, lists[i].texts, lists[i].action, lists[i].source,
                           lists[i].option, err);
        if (rc < 0)
            return rc;
    }
    if (options->policy != NULL) {
        int rc =
            rules_file_parse(options->policy, strlen(options->policy), core->policy, &ask, err);
        if (rc < 0)
            return error_wrap(err, "--policy");
    }
    if (options->ask) {
        policy_set_ask(core->policy, true);
        ask = options->ask_seconds;
    }
    core->questions.seconds = ask != 0 ? ask : RULES_ASK_STANDARD;
    return 0;
}

/* A mapping is a rule as well: rules and verdicts name it. */
static int make_tcp_map(struct core *core, const struct strv *texts, struct error *err)
{
    for (size_t i = 0; texts != NULL && i < texts->count; i++) {
        const char *text = texts->items[i], *equals = strchr(text, '=');
        int rc = tcp_map_add(&core->tcp_map, text, err);
        if (rc < 0)
            return rc;
        CLEAN_FREE char *pattern = strndup(text, equals != NULL ? (size_t)(equals - text) : 0);
        if (pattern == NULL)
            return error_set(err, ENOMEM, "out of memory");
        rc = policy_add(core->policy, RULE_TCP, RULE_OPTION, pattern, NULL, err);
        if (rc < 0)
            return error_wrap(err, "--tcp-map '%.80s'", text);
    }
    return 0;
}

static int make_secrets(struct core *core, const struct net_options *options, struct error *err)
{
    core->secrets = secrets_new(err);
    if (core->secrets == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < options->secret_count; i++) {
        const struct net_secret *secret = &options->secrets[i];
        int rc = secrets_add(core->secrets, secret->name, secret->hosts, secret->value,
                             secret->size, secret->placeholder, err);
        if (rc == 0 && secret->query)
            rc = secrets_allow_query(core->secrets, secret->name, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int make_names(struct net_thread *thread, const struct net_options *options,
                      struct error *err)
{
    static const char *const modes[] = {
        [NET_DNS_SYNTHETIC] = "synthetic", [NET_DNS_TRUSTED] = "trusted", [NET_DNS_OPEN] = "open"};
    struct dns_options texts = {
        .mode = modes[options->dns],
        .mapping = options->dns_single ? "single" : NULL,
        .needs_names = options->tcp_map != NULL && options->tcp_map->count > 0 ? "--tcp-map" : NULL,
    };
    struct dns_settings settings;
    if (options->dns_servers != NULL)
        texts.servers = *options->dns_servers; /* only read */
    int rc = dns_settle(&texts, &settings, err);
    if (rc < 0)
        return rc;
    thread->core.names = dns_names_new(settings.mapping, DNS_NAMES_MAX);
    if (thread->core.names == NULL)
        return error_set(err, ENOMEM, "out of memory");
    return names_open(&thread->names, &thread->core, &settings, err);
}

static int make_tls(struct net_thread *thread, const struct net_options *options, struct error *err)
{
    int rc = ca_open(&thread->ca, err);
    if (rc < 0)
        return rc;
    const struct strv *roots = options->upstream_ca;
    return tls_context_new(thread->ca, roots != NULL ? (const char *const *)roots->items : NULL,
                           &thread->core.tls, err);
}

int setup_make(struct net_thread *thread, const struct net_options *options, struct error *err)
{
    struct core *core = &thread->core;
    core->loop = &thread->loop;
    core->no_websockets = options->no_websockets;
    TAILQ_INIT(&core->proxies);
    int rc = make_policy(core, options, err);
    if (rc == 0)
        rc = make_tcp_map(core, options->tcp_map, err);
    if (rc == 0)
        rc = make_secrets(core, options, err);
    if (rc == 0)
        rc = pins_new(options->resolve, &core->pins, err);
    if (rc == 0)
        rc = make_names(thread, options, err);
    if (rc == 0)
        rc = make_tls(thread, options, err);
    if (rc == 0)
        rc = upstreams_new(core, &core->upstreams, err);
    if (rc == 0)
        rc = questions_open(&core->questions, core->loop, err);
    if (rc == 0)
        rc = holds_open(&core->refusals, core->loop, PROXY_OWNER_MS, err);
    thread->guest.core = core;
    thread->guest.names = thread->names;
    return rc;
}

void setup_close(struct net_thread *thread)
{
    struct core *core = &thread->core;
    guest_detach(&thread->guest);
    names_close(thread->names);
    struct upstreams *upstreams = core->upstreams;
    core->upstreams = NULL;
    upstreams_free(upstreams);
    if (core->questions.timer.data != NULL)
        questions_close(&core->questions);
    if (core->refusals.timer.data != NULL)
        holds_close(&core->refusals);
    thread->names = NULL;
}

void setup_free(struct net_thread *thread)
{
    struct core *core = &thread->core;
    tls_context_free(core->tls);
    ca_close(thread->ca);
    dns_names_free(core->names);
    pins_free(core->pins);
    secrets_free(core->secrets);
    tcp_map_free(&core->tcp_map);
    policy_free(core->policy);
}
