/* The options of a VM's network: the same for exec, bash and whatever else starts one. */
#ifndef VMDECK_SESSION_CLI_VMOPTIONS_NET_H
#define VMDECK_SESSION_CLI_VMOPTIONS_NET_H

#include "session/cli/verb.h"

/* Target: struct session_config. */
extern const struct option_group network_options;

#endif
