/* Every verb, in the order the help lists them. */
#include "session/cli/verb.h"

const struct verb *const verbs[] = {
    &verb_exec,    &verb_bash,    &verb_attach,   &verb_list,   &verb_stop,     &verb_pause,
    &verb_unpause, &verb_suspend, &verb_start,    &verb_fork,   &verb_snapshot, &verb_allow,
    &verb_deny,    &verb_rules,   &verb_requests, &verb_events, &verb_mount,    &verb_umount,
    &verb_stats,   &verb_cp,      &verb_image,    &verb_doctor, NULL,
};
