/* Every verb, in the order the help lists them. */
#include "session/cli/verb.h"

const struct verb *const verbs[] = {
    &verb_exec,
    &verb_image,
    NULL,
};
