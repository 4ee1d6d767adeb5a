/*
 * Who may be asked what: a list of rules and a pure function over them. A rule that denies wins
 * over one that allows, which wins over the default:
 *
 *   ask                                            → the request waits for an answer
 *   there is a list of allowed hosts, even empty   → denied
 *   otherwise                                      → HTTP and HTTPS allowed
 *
 * Only the rules a session is started with make such a list; allowing one host more at run time
 * must not forbid all the others. No I/O. Single-threaded per object.
 */
#ifndef VMDECK_NET_POLICY_H
#define VMDECK_NET_POLICY_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/address.h"
#include "net/pattern.h"

#define POLICY_RULES_MAX  4096
#define POLICY_REASON_MAX 512

enum rule_action {
    RULE_ALLOW,    /* HTTP, HTTPS and WebSockets */
    RULE_DENY,     /* everything */
    RULE_INTERNAL, /* like allow, and the host's addresses are not checked; or a network: its
                      addresses count as public, whoever has them */
    RULE_SSH,      /* SSH; port 22 unless the pattern names one */
    RULE_TCP,      /* a mapped TCP destination */
    RULE_ACTIONS,
};

enum rule_source {
    RULE_OPTION,  /* the command line */
    RULE_FILE,    /* --policy */
    RULE_SAVED,   /* --always, from the registry */
    RULE_SESSION, /* at run time, for this session */
    RULE_ONCE,    /* at run time, for one request: see policy_used() */
    RULE_SOURCES,
};

struct rule {
    uint32_t id; /* from 1, never used again in this policy */
    enum rule_action action;
    enum rule_source source;
    char *text;             /* canonical; what the registry saves */
    struct pattern pattern; /* empty if there is a network */
    bool is_network;
    struct network network;
};

struct policy;

struct policy *policy_new(void); /* or NULL without memory */
void policy_free(struct policy *policy);

/* There is a list of allowed hosts: what no rule names is denied, though no rule was added. */
void policy_set_listed(struct policy *policy);
void policy_set_ask(struct policy *policy, bool ask);

/*
 * Adds a rule. RULE_ALLOW from RULE_OPTION or RULE_FILE implies policy_set_listed(). At run time
 * the newer of two opposite rules with the same text replaces the older one, if that was made at
 * run time too. A rule that is there already is not added again: *id (may be NULL) is then its id.
 */
int policy_add(struct policy *policy, enum rule_action action, enum rule_source source,
               const char *text, uint32_t *id, struct error *err);

int policy_remove(struct policy *policy, uint32_t id, struct error *err); /* -ENOENT */

/*
 * The rule has decided a request to this host: forgets it if it was made for one only, and so those
 * that let one request to the host's addresses. True if such were among them: the addresses are to
 * be connected to though policy_address_allowed() will say no from now on.
 */
bool policy_used(struct policy *policy, uint32_t id, const char *host, uint16_t port);

size_t policy_count(const struct policy *policy);
const struct rule *policy_rule(const struct policy *policy, size_t index);

/* {default, rules: [{id, action, source, pattern}]}, the caller's to delete; NULL: no memory. */
cJSON *policy_json(const struct policy *policy);

enum policy_protocol {
    POLICY_ANY, /* not known yet */
    POLICY_HTTP,
    POLICY_HTTPS,
    POLICY_WS,
    POLICY_WSS,
    POLICY_SSH,
    POLICY_TCP, /* a mapped destination */
};

/*
 * What is not known yet is POLICY_ANY, NULL or 0. The verdict then says what is certain: deny if
 * every such request would be denied, otherwise the best that one could hope for. So a ClientHello
 * can be refused by its name alone, and what passes is judged again when the request is there.
 */
struct policy_request {
    enum policy_protocol protocol;
    const char *method;
    const char *host; /* in any spelling that host_normalize() takes */
    uint16_t port;
    const char *path; /* a query behind it is not looked at */
};

enum policy_action { POLICY_ALLOW, POLICY_DENY, POLICY_ASK };

struct policy_verdict {
    enum policy_action action;
    uint32_t rule;                  /* that decided; 0: the default or the address */
    char reason[POLICY_REASON_MAX]; /* one line of printable text, for the guest's 403 too */
};

void policy_judge(const struct policy *policy, const struct policy_request *request,
                  struct policy_verdict *out);

/*
 * For DNS: could a rule allow this name? Only with POLICY_ALLOW may it reach a resolver; with
 * POLICY_ASK nobody has answered yet.
 */
enum policy_action policy_judge_name(const struct policy *policy, const char *host);

/* Was this host allowed by RULE_INTERNAL, so that its addresses are not checked? */
bool policy_host_internal(const struct policy *policy, const char *host, uint16_t port);

/*
 * May this address of the host be connected to? To be asked for every address at every connect.
 * If not, *why (may be NULL) is what the address is, a constant.
 */
bool policy_address_allowed(const struct policy *policy, const char *host, uint16_t port,
                            const struct address *address, const char **why);

#endif
