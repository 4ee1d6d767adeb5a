/*
 * $XDG_CONFIG_HOME/vmdeck/config: a line for each setting, `name value`; '#' begins a comment. The
 * names are those of the VM options without their dashes (a flag takes on or off; an option that
 * may be repeated may be here, too), and those of the table in settings.c. What the dashboard reads
 * (theme, key.…) is its own business.
 */
#ifndef VMDECK_SESSION_CLI_SETTINGS_H
#define VMDECK_SESSION_CLI_SETTINGS_H

#include "session/protocol/config.h"

#define SETTINGS_SIZE_MAX 65536 /* bytes of the file */

/* Applies the file to the configuration; no file is no error. -EINVAL names file and line. */
int settings_apply(struct session_config *config, struct error *err);

#endif
