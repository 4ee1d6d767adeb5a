/*
 * A request's path in the forms that rules are compared with. Servers disagree about what a path
 * means ("//", "/..", "%2F", "\", ";…"), so there is not one canonical form: an allow rule must
 * match every form, a deny rule needs to match only one. What is sent upstream stays what the
 * guest wrote. Sources: RFC 3986 §6.2.2. Pure functions, any thread.
 */
#ifndef VMDECK_NET_URL_PATH_H
#define VMDECK_NET_URL_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define URL_PATH_MAX 16384

enum url_path_form {
    URL_PATH_STRICT, /* RFC 3986: unreserved characters decoded, %XX upper case, dot segments gone
                      */
    URL_PATH_MERGED, /* also: empty segments removed, before the dot segments */
    URL_PATH_LOOSE,  /* everything decoded, repeatedly; '\' is '/'; ";parameters" are gone */
    URL_PATH_FORMS,
};

struct url_path {
    char *forms[URL_PATH_FORMS]; /* all NULL: no path */
};

/*
 * The path (up to the first '?', which is not part of it) in all forms. -EINVAL, *out empty, if it
 * does not begin with '/', is too long, has a broken % sequence or stands for control characters.
 */
int url_path_parse(const char *text, size_t size, struct url_path *out, struct error *err);
void url_path_free(struct url_path *path);
#define CLEAN_URL_PATH __attribute__((cleanup(url_path_free)))

/*
 * Does the pattern ('*' is any number of any characters, also '/') match? With `every`, in all
 * forms, otherwise in at least one.
 */
bool url_path_matches(const struct url_path *pattern, const struct url_path *path, bool every);

/* '*' in the pattern stands for any number of any characters. */
bool glob_matches(const char *pattern, const char *text);

#endif
