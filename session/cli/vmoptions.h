/* The options that shape a VM: the same for exec, bash and whatever else starts one. */
#ifndef VMDECK_SESSION_CLI_VMOPTIONS_H
#define VMDECK_SESSION_CLI_VMOPTIONS_H

#include "session/cli/verb.h"

/* Target: struct session_config. */
extern const struct option_group vm_options;

/*
 * Makes *config what it is before any option: the defaults, the user's settings, the environment
 * (VMDECK_IMAGE, VMDECK_ACCEL). It is a proper configuration also after a failure.
 */
struct session_config;
int vm_options_defaults(struct session_config *config, struct error *err);

/* What --name accepts: a session's name that is a host name, too. -EINVAL. */
int vm_name_check(const char *value, struct error *err);

/* "NAME=VALUE" with a name a shell accepts: appended to the list. -EINVAL. */
struct strv;
int env_add(struct strv *list, const char *text, struct error *err);

#endif
