/*
 * The network of one VM: everything between its NIC and the world. It runs in a thread of its own
 * with its own loop; this is all that the rest of the program sees of it. Every function here is
 * called on the owner's thread, every callback comes on the owner's loop, in order.
 */
#ifndef VMDECK_NET_NET_H
#define VMDECK_NET_NET_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define NET_GATEWAY "192.168.127.1" /* also the DNS server */
#define NET_GUEST   "192.168.127.3"
#define NET_PREFIX  24
#define NET_MAC     "52:54:00:76:6d:01"

enum net_dns { NET_DNS_SYNTHETIC, NET_DNS_TRUSTED, NET_DNS_OPEN };

struct net_secret {
    const char *name;
    const struct strv *hosts;
    const uint8_t *value; /* copied into locked memory at once; the caller wipes its own */
    size_t size;
    const char *placeholder; /* of a resumed guest, or NULL: one is made */
    bool query;
};

/* Texts as on the command line (CLI.md); everything is copied. */
struct net_options {
    const struct strv *allow, *deny, *internal; /* patterns; NULL or empty: none */
    const struct strv *saved_allow, *saved_deny, *saved_internal; /* of the registry */
    const char *policy; /* JSON text of --policy, or NULL */
    const struct strv *tcp_map, *resolve, *dns_servers;
    const struct strv *upstream_ca; /* paths of PEM files */
    const struct net_secret *secrets;
    size_t secret_count;
    enum net_dns dns;
    bool dns_single; /* one synthetic address for all names */
    bool ask;
    unsigned ask_seconds; /* 0: the default, 30 */
    bool no_websockets;
};

/* A TCP connection of the guest's. */
struct net_flow {
    uint32_t id; /* `flow` of its events */
    uint16_t guest_port, port;
    uint8_t address[4]; /* where it goes to, as the guest knows it */
};

struct net_events {
    /*
     * It was opened. The owner finds out whose it is, and calls "owner" then: a refusal waits for
     * that for some milliseconds. NULL: it will not.
     */
    void (*flow)(void *context, const struct net_flow *flow);
    /*
     * Something to record; `type` is "net" or "secret", `fields` (taken over) has the members of
     * events --json behind the type, but `process`, which the owner may find out by `flow`; and
     * `guest_port`, the port of the guest's socket.
     */
    void (*event)(void *context, const char *type, cJSON *fields);
    /* How many requests wait for an answer has changed, or which. */
    void (*pending)(void *context, unsigned count);
};

struct net;

/*
 * Takes `nic` over (QEMU's -netdev stream: each Ethernet frame behind its length), also on failure.
 * The user's CA is made where there is none. One at a time in a process (-EBUSY).
 */
int net_open(struct net **out, uv_loop_t *owner, int nic, const struct net_options *options,
             const struct net_events *events, void *context, struct error *err);

/* PEM of the user's CA before there is a network, see ca_read(). The caller frees it. */
int net_ca_read(char **pem, struct error *err);

/* PEM of the CA that the guest is to trust. */
const char *net_ca(const struct net *net);

/* NAME=PLACEHOLDER of every secret, for the guest's environment. */
const struct strv *net_placeholders(const struct net *net);

/*
 * The value that was given for a secret, in the memory where it is kept: for a session that is to
 * go on as this one, and to nobody else. NULL: there is none.
 */
const uint8_t *net_secret_value(const struct net *net, const char *name, size_t *size);

/*
 * A question or order, answered later: `result` is the callback's to read, or NULL with *why. At
 * once, and with an error, only where too many calls wait already. Takes `arguments` over; NULL is
 * an empty object.
 *
 *   "rules"     {}              policy_json()
 *   "allow"     {patterns: [text], scope: "once"|"session"|"saved", internal: bool}
 *   "deny"      the same        {rules: [id]}; applies at once, also to requests that wait
 *   "rules_rm"  {id}            {}
 *   "requests"  {}              {requests: [{id, time, protocol, host, port, method, path, flow,
 *                               left_ms}], count}; the oldest first, not more than a screen can use
 *   "answer"    {id, allow}     {}; one request that waits
 *   "stats"     {}              {received, sent, flows, requests}
 *   "owner"     {id}            {}; whose flow this is was found out, or cannot be: see `flow`
 *   "stop"      {}              {}; the guest is cut off, and the events of what it had open have
 * come
 */
typedef void net_done(void *context, const cJSON *result, const struct error *why);
void net_call(struct net *net, const char *name, cJSON *arguments, net_done *done, void *context);

/* The VM was restored: connections that it believes to have are reset. */
void net_reset(struct net *net);

/*
 * Ends the thread and everything that is open; calls that wait are answered with ECANCELED, then no
 * callback comes any more. When it returns the next may be opened; memory is freed, and `owner` has
 * no handle of it left, when the thread has ended and the loop has run. NULL is fine.
 */
void net_close(struct net *net);

#endif
