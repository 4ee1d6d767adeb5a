/*
 * The file of --policy: the rules of the command line as a JSON object.
 *
 *   { "allow": ["PATTERN", …], "deny": […], "allow-internal": ["PATTERN or NETWORK", …],
 *     "ask": true | false | SECONDS }
 *
 * Every member may be missing. An "allow" that is there and empty allows nothing.
 */
#ifndef VMDECK_NET_RULES_FILE_H
#define VMDECK_NET_RULES_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/policy.h"

#define RULES_FILE_MAX     (1u << 20) /* bytes */
#define RULES_ASK_MAX      86400      /* seconds */
#define RULES_ASK_STANDARD 30

/*
 * Adds the file's rules. *ask is the seconds to wait for an answer, 0 for not asking, and stays as
 * it is if the file says nothing about it; policy_set_ask() follows. Anything unknown, twice there
 * or unreadable is -EINVAL; the policy is then incomplete and must not be used.
 */
int rules_file_parse(const char *text, size_t size, struct policy *policy, uint32_t *ask,
                     struct error *err);

#endif
