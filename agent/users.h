/*
 * Who a command runs as, read from the guest's own /etc/passwd and /etc/group. Single-threaded.
 */
#ifndef VMDECK_AGENT_USERS_H
#define VMDECK_AGENT_USERS_H

#include <stddef.h>
#include <sys/types.h>

#define USERS_GROUPS_MAX 256
#define USERS_TEXT_MAX   1024 /* of a name or a path */

struct user {
    uid_t uid;
    gid_t gid;
    gid_t groups[USERS_GROUPS_MAX]; /* gid and the supplementary ones */
    size_t group_count;
    char name[USERS_TEXT_MAX];  /* the number, where there is no entry */
    char home[USERS_TEXT_MAX];  /* "/", where there is no entry */
    char shell[USERS_TEXT_MAX]; /* "/bin/sh", … */
};

/*
 * `who` is a name, a uid or uid:gid; NULL is root. Numbers need no entry; a lone uid without one
 * gets the group of the same number. The files are `etc`/passwd and `etc`/group. 0, -EINVAL for a
 * malformed number, -ESRCH for a name that nobody has.
 */
int users_find(const char *etc, const char *who, struct user *user);

#endif
