/* The agent's reading of passwd and group, and its merging of environments. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/environment.h"
#include "agent/users.h"

static char etc[] = "/tmp/vmdeck-users-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", etc, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(etc) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"passwd", "group"};
    char path[64];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof path, "%s/%s", etc, names[i]);
        unlink(path);
    }
    return rmdir(etc);
}

static void test_find(void **state)
{
    static const struct {
        const char *who;
        int rc;
        uint32_t uid, gid;
        size_t groups;
        const char *name, *home, *shell;
    } rows[] = {
        {NULL, 0, 0, 0, 1, "root", "/root", "/bin/bash"},
        {"root", 0, 0, 0, 1, "root", "/root", "/bin/bash"},
        {"anna", 0, 1000, 100, 3, "anna", "/home/anna", "/bin/sh"},
        {"1000", 0, 1000, 100, 3, "anna", "/home/anna", "/bin/sh"},
        {"1000:7", 0, 1000, 7, 1, "anna", "/home/anna", "/bin/sh"},
        {"bare", 0, 1001, 1001, 1, "bare", "/", "/bin/sh"},
        {"4000", 0, 4000, 4000, 1, "4000", "/", "/bin/sh"},
        {"4000:50", 0, 4000, 50, 1, "4000", "/", "/bin/sh"},
        {"nobody-such", -ESRCH, 0, 0, 0, NULL, NULL, NULL},
        {"broken", -ESRCH, 0, 0, 0, NULL, NULL, NULL},
        {"", -ESRCH, 0, 0, 0, NULL, NULL, NULL},
        {"12a", -EINVAL, 0, 0, 0, NULL, NULL, NULL},
        {"12:", -EINVAL, 0, 0, 0, NULL, NULL, NULL},
        {"12:x", -EINVAL, 0, 0, 0, NULL, NULL, NULL},
        {"4294967295", -EINVAL, 0, 0, 0, NULL, NULL, NULL},
        {"99999999999999999999999999999999999", -EINVAL, 0, 0, 0, NULL, NULL, NULL},
    };
    (void)state;
    write_file("passwd", "root:x:0:0:root:/root:/bin/bash\nbroken:x:1:1\nbroken:x:-1:1:::\n\n"
                         "anna:x:1000:100::/home/anna:\nbare:x:1001:1001:::");
    write_file("group",
               "root:x:0:root\nusers:x:100:anna\naudio:x:29:bob,anna\nvideo:x:44:anna,bob\n"
               "hanna:x:45:hanna\nbroken:x:y:anna\n:");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct user user;
        assert_int_equal(users_find(etc, rows[i].who, &user), rows[i].rc);
        if (rows[i].rc != 0)
            continue;
        assert_int_equal(user.uid, rows[i].uid);
        assert_int_equal(user.gid, rows[i].gid);
        assert_int_equal(user.group_count, rows[i].groups);
        assert_int_equal(user.groups[0], rows[i].gid);
        assert_string_equal(user.name, rows[i].name);
        assert_string_equal(user.home, rows[i].home);
        assert_string_equal(user.shell, rows[i].shell);
    }
}

static void test_no_files(void **state)
{
    struct user user;
    (void)state;
    assert_int_equal(users_find("/nonexistent", NULL, &user), 0);
    assert_int_equal(user.uid, 0);
    assert_string_equal(user.home, "/");
    assert_int_equal(users_find("/nonexistent", "root", &user), -ESRCH);
}

static void one_user(const char *line, const char *shell)
{
    struct user user;
    write_file("passwd", line);
    assert_int_equal(users_find(etc, "me", &user), 0);
    assert_string_equal(user.shell, shell);
}

/* What is kept is not given for other files, nor for these when they have changed. */
static void test_kept(void **state)
{
    struct user first, second;
    char link[64];
    (void)state;
    one_user("me:x:5:5::/:/bin/one\n", "/bin/one");
    one_user("me:x:5:5::/:/bin/two\n", "/bin/two");
    snprintf(link, sizeof link, "%s/link", etc);
    assert_int_equal(symlink("/etc", link), 0); /* old enough to be kept */
    assert_int_equal(users_find(link, "root", &first), 0);
    assert_int_equal(users_find(link, "root", &second), 0);
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(users_find(link, "0:77", &second), 0);
    assert_int_equal(second.gid, 77);
    assert_int_equal(users_find(link, "root", &second), 0);
    unlink(link);
    assert_int_equal(symlink(".", link), 0);
    assert_int_equal(users_find(link, "root", &second), -ESRCH);
    assert_int_equal(users_find(link, "me", &second), 0);
    unlink(link);
}

static void test_unique(void **state)
{
    char a1[] = "A=1", b[] = "B=", a2[] = "A=2", ab[] = "AB=3";
    char *entries[] = {a1, b, a2, ab, NULL};
    (void)state;
    assert_int_equal(environment_unique(entries, 4), 3);
    assert_string_equal(entries[0], "B=");
    assert_string_equal(entries[1], "A=2");
    assert_string_equal(entries[2], "AB=3");
    assert_null(entries[3]);
    assert_string_equal(environment_get(entries, "A"), "2");
    assert_string_equal(environment_get(entries, "B"), "");
    assert_null(environment_get(entries, "C"));
    assert_int_equal(environment_unique(entries, 0), 0);
    assert_null(entries[0]);
}

/* As many as there may be, all different, then all the same. */
static void test_unique_many(void **state)
{
    char **entries = calloc(ENVIRONMENT_MAX + 1, sizeof *entries);
    char *text = calloc(ENVIRONMENT_MAX, 16);
    (void)state;
    assert_true(entries != NULL && text != NULL);
    for (size_t i = 0; i < ENVIRONMENT_MAX; i++) {
        entries[i] = text + 16 * i;
        snprintf(entries[i], 16, "N%zu=x", i);
    }
    assert_int_equal(environment_unique(entries, ENVIRONMENT_MAX), ENVIRONMENT_MAX);
    for (size_t i = 0; i < ENVIRONMENT_MAX; i++)
        snprintf(entries[i], 16, "N=%zu", i);
    assert_int_equal(environment_unique(entries, ENVIRONMENT_MAX), 1);
    assert_string_equal(entries[0], "N=65535");
    free(text);
    free(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),        cmocka_unit_test(test_no_files),
        cmocka_unit_test(test_kept),        cmocka_unit_test(test_unique),
        cmocka_unit_test(test_unique_many),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
