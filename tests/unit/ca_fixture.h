/* An authority of the test's own: $XDG_DATA_HOME is a new directory, gone at the end. */
#ifndef VMDECK_TESTS_CA_FIXTURE_H
#define VMDECK_TESTS_CA_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"

static char ca_home[64];

static int ca_home_make(void **state)
{
    (void)state;
    snprintf(ca_home, sizeof ca_home, "/tmp/vmdeck-ca-XXXXXX");
    assert_non_null(mkdtemp(ca_home));
    return setenv("XDG_DATA_HOME", ca_home, 1);
}

static int ca_home_remove(void **state)
{
    (void)state;
    return path_remove(ca_home, NULL);
}

/* A path below it; one at a time. */
static const char *ca_path(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", ca_home, name);
    return path;
}

#endif
