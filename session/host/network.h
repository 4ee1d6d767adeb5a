/*
 * Where the VM's network meets the session: its options, its events, its questions, and the rules
 * that outlive it. Part of the session host; everything on its loop.
 */
#ifndef VMDECK_SESSION_HOST_NETWORK_H
#define VMDECK_SESSION_HOST_NETWORK_H

#include <cjson/cJSON.h>

#include "session/host/peer.h"
#include "session/store/registry.h"

/*
 * Connects `nic` (taken over, also on failure) as host->config says; with no_net it is closed.
 * Reads the registry: blocks for some milliseconds. To be called again for another VM of the
 * session after network_close().
 */
int network_open(struct host *host, int nic, struct error *err);
void network_close(struct host *host);

/*
 * The VM has ended: what its connections did is recorded, and then `done` is called, from the loop
 * or at once.
 */
void network_settle(struct host *host, void (*done)(struct host *host));
void network_free(struct host *host); /* and what the snapshot said */

/* The values of the secrets are wiped: the VM is up, and will not be started in another way. */
void network_ready(struct host *host);

/* PEM of the user's authority, before there is a network. The caller frees it. */
int network_authority(char **pem, struct error *err);

/* PEM of the authority that the guest is to trust; NULL: there is no network. */
const char *network_trust(const struct host *host);

/*
 * The environment of the guest's commands: what makes OpenSSL quick where it is emulated, where the
 * trusted authorities are, the placeholders of secrets, then host->config.env, which goes before.
 * Empty for a revived session, whose guest has it all. -ENOMEM.
 */
int network_environment(const struct host *host, struct strv *out);

/* The VM is restored from a snapshot, and about to run: its connections are nobody's. */
void network_reset(struct host *host);

/* How many requests wait for an answer. */
unsigned network_pending(const struct host *host);

/* Running, waiting for an answer, or paused. */
enum session_state network_state(const struct host *host);

/* What a snapshot keeps: options, rules made at run time, the secrets without their values. */
void network_save(const struct host *host, cJSON *session);

/*
 * The secrets with their values, for the start of a session that goes on as this one: to be wiped
 * by session_secrets_wipe(), as json_send() does.
 */
cJSON *network_secrets(const struct host *host);

/*
 * And takes it up under what is given now, from the manifest's "session". Of a snapshot that is not
 * `ours` nothing is taken that would open this host to it. The caller wraps the error.
 */
int network_resume(struct host *host, const cJSON *session, bool ours, struct error *err);

/* Sends the reply (taken over) to "stats" with the network's figures. */
void network_stats(struct peer *peer, uint32_t id, cJSON *reply);

/* Requests "allow", "deny", "rules", "rules_rm", "requests", "answer": see vmdeck-protocol(7). */
int network_request(struct peer *peer, const cJSON *request, struct error *err);

#endif
