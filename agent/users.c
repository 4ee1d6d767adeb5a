/*
 * Both files are read whole and looked at line by line, as passwd(5) and group(5) describe them;
 * lines that are malformed are skipped, files that are missing or beyond USERS_FILE_MAX are
 * empty. NSS is the guest's business and not asked: the agent is linked statically.
 *
 * The last answer is kept while both files are as they were: the same inode, size and times. A
 * file that changed within SETTLED before it was read, or "after" it, may change again without its
 * times telling (they are as coarse as the kernel's tick), so what it said is not kept.
 */
#include "agent/users.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

#define USERS_FILE_MAX (4u * 1024 * 1024)
#define USERS_FIELDS   7
#define SETTLED        2 /* seconds */

static const char *const files[] = {"passwd", "group"};
#define FILES (sizeof files / sizeof files[0])

/* What tells whether a file is the same. */
struct stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed, modified;
};

static struct {
    bool valid, any; /* any: `who` was NULL */
    char etc[64], who[64];
    struct stamp stamps[FILES];
    struct user user;
} last;

static bool etc_path(char path[PATH_MAX], const char *etc, const char *name)
{
    if (strlen(etc) + strlen(name) + 2 > PATH_MAX)
        return false;
    stpcpy(stpcpy(stpcpy(path, etc), "/"), name);
    return true;
}

static void read_file(const char *etc, const char *name, struct buf *out)
{
    char path[PATH_MAX];
    int fd = etc_path(path, etc, name) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    ssize_t n = 0;
    uint8_t *room = NULL;
    while (buf_len(out) < USERS_FILE_MAX && (room = buf_reserve(out, 4096)) != NULL &&
           (n = read(fd, room, 4096)) > 0)
        buf_added(out, (size_t)n);
    close(fd);
    if (n > 0) /* too long, or no memory: half a file is none */
        buf_free(out);
}

/* Cuts the text at `separator`; returns the first part and moves *text behind it. */
static char *cut(char **text, char separator)
{
    char *part = *text;
    if (part == NULL)
        return NULL;
    char *end = strchr(part, separator);
    *text = end != NULL ? end + 1 : NULL;
    if (end != NULL)
        *end = '\0';
    return part;
}

static size_t cut_fields(char *line, char *fields[USERS_FIELDS])
{
    size_t count = 0;
    while (line != NULL && count < USERS_FIELDS)
        fields[count++] = cut(&line, ':');
    return count;
}

/* All digits, and an id that chown(2) does not read as "none". */
static bool parse_id(const char *text, uint32_t *id)
{
    uint64_t value = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value >= UINT32_MAX)
            return false;
    }
    *id = (uint32_t)value;
    return true;
}

static void copy_text(char out[USERS_TEXT_MAX], const char *text)
{
    size_t length = strlen(text);
    length = length < USERS_TEXT_MAX ? length : USERS_TEXT_MAX - 1;
    memcpy(out, text, length);
    out[length] = '\0';
}

/* Takes the entry of that name, or (NULL) of user->uid. */
static bool find_passwd(const char *etc, const char *name, struct user *user)
{
    struct buf file = {0};
    read_file(etc, files[0], &file);
    char *text = (char *)(uintptr_t)buf_string(&file), *line;
    bool found = false;
    while (!found && (line = cut(&text, '\n')) != NULL) {
        char *fields[USERS_FIELDS];
        uint32_t uid, gid;
        if (cut_fields(line, fields) != USERS_FIELDS || !parse_id(fields[2], &uid) ||
            !parse_id(fields[3], &gid))
            continue;
        found = name != NULL ? strcmp(fields[0], name) == 0 : uid == user->uid;
        if (!found)
            continue;
        user->uid = uid;
        user->gid = gid;
        copy_text(user->name, fields[0]);
        copy_text(user->home, fields[5][0] != '\0' ? fields[5] : "/");
        copy_text(user->shell, fields[6][0] != '\0' ? fields[6] : "/bin/sh");
    }
    buf_free(&file);
    return found;
}

static void find_groups(const char *etc, struct user *user)
{
    struct buf file = {0};
    read_file(etc, files[1], &file);
    char *text = (char *)(uintptr_t)buf_string(&file), *line;
    while ((line = cut(&text, '\n')) != NULL && user->group_count < USERS_GROUPS_MAX) {
        char *fields[USERS_FIELDS];
        uint32_t gid;
        if (cut_fields(line, fields) != 4 || !parse_id(fields[2], &gid) || gid == user->gid)
            continue;
        char *members = fields[3], *member;
        while ((member = cut(&members, ',')) != NULL)
            if (strcmp(member, user->name) == 0) {
                user->groups[user->group_count++] = gid;
                break;
            }
    }
    buf_free(&file);
}

static int look_up(const char *etc, const char *who, struct user *user)
{
    *user = (struct user){.home = "/", .shell = "/bin/sh", .name = "root"};
    bool group_given = false;
    if (who == NULL || (who[0] >= '0' && who[0] <= '9')) {
        char number[32] = "0";
        if (who != NULL && strlen(who) >= sizeof number)
            return -EINVAL;
        if (who != NULL)
            memcpy(number, who, strlen(who) + 1);
        char *group = number;
        const char *uid = cut(&group, ':');
        uint32_t gid = 0;
        group_given = group != NULL;
        if (!parse_id(uid, &user->uid) || (group_given && !parse_id(group, &gid)))
            return -EINVAL;
        user->gid = user->uid;
        copy_text(user->name, uid);
        if (!find_passwd(etc, NULL, user) && user->uid == 0)
            copy_text(user->name, "root");
        if (group_given)
            user->gid = gid;
    } else if (!find_passwd(etc, who, user)) {
        return -ESRCH;
    }
    user->groups[user->group_count++] = user->gid;
    if (!group_given)
        find_groups(etc, user);
    return 0;
}

/* Zeroes for a file that is missing. */
static void take_stamps(const char *etc, struct stamp stamps[FILES])
{
    char path[PATH_MAX];
    struct stat st;
    memset(stamps, 0, FILES * sizeof *stamps); /* compared whole */
    for (size_t i = 0; i < FILES; i++) {
        if (!etc_path(path, etc, files[i]) || stat(path, &st) != 0)
            continue;
        stamps[i].dev = st.st_dev;
        stamps[i].ino = st.st_ino;
        stamps[i].size = st.st_size;
        stamps[i].changed = st.st_ctim;
        stamps[i].modified = st.st_mtim;
    }
}

static bool is_last(const char *etc, const char *who)
{
    return last.valid && last.any == (who == NULL) && strcmp(last.etc, etc) == 0 &&
           (who == NULL || strcmp(last.who, who) == 0);
}

static void keep(const char *etc, const char *who, const struct stamp stamps[FILES],
                 const struct user *user)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    last.valid = strlen(etc) < sizeof last.etc && (who == NULL || strlen(who) < sizeof last.who);
    for (size_t i = 0; i < FILES; i++)
        last.valid = last.valid && stamps[i].changed.tv_sec + SETTLED < now.tv_sec;
    if (!last.valid)
        return;
    last.any = who == NULL;
    memcpy(last.etc, etc, strlen(etc) + 1);
    if (who != NULL)
        memcpy(last.who, who, strlen(who) + 1);
    memcpy(last.stamps, stamps, sizeof last.stamps);
    last.user = *user;
}

int users_find(const char *etc, const char *who, struct user *user)
{
    struct stamp stamps[FILES];
    take_stamps(etc, stamps);
    if (is_last(etc, who) && memcmp(last.stamps, stamps, sizeof stamps) == 0) {
        *user = last.user;
        return 0;
    }
    int rc = look_up(etc, who, user);
    if (rc == 0)
        keep(etc, who, stamps, user);
    return rc;
}
