/* vm/: the cache of templates, and the command line of the machine that they are of. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "vm/machine.h"
#include "vm/template.h"
#include "vm/template_cache.h"

#define BLOCK 65536 /* bytes of each template's memory that are there */

static char directory[64];

static int make_cache(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/vmdeck-template-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    return setenv("XDG_CACHE_HOME", directory, 1);
}

static int remove_cache(void **state)
{
    (void)state;
    return path_remove(directory, NULL);
}

static char *in_cache(const char *name, const char *file)
{
    struct error err = {0};
    char *path = NULL;
    CLEAN_FREE char *below = str_printf("%s%s%s", name, file != NULL ? "/" : "", file ? file : "");
    assert_int_equal(template_path(below, &path, &err), 0);
    return path;
}

static void add_file(const char *name, const char *file, size_t size)
{
    static const uint8_t bytes[BLOCK] = {1};
    struct error err = {0};
    CLEAN_FREE char *path = in_cache(name, file);
    assert_int_equal(path_write(path, 0600, bytes, size, &err), 0);
}

/* A template that was last used so many seconds ago. */
static void add_template(const char *name, long age)
{
    struct error err = {0};
    struct timespec times[2];
    CLEAN_FREE char *entry = in_cache(name, NULL);
    CLEAN_FREE char *lock = in_cache(name, "lock");
    assert_int_equal(path_mkdirs(entry, 0700, &err), 0);
    add_file(name, "ram", BLOCK);
    add_file(name, "state", 1);
    add_file(name, "lock", 0);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &times[0]), 0);
    times[0].tv_sec -= age;
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, lock, times, 0), 0);
}

static bool is_there(const char *name)
{
    CLEAN_FREE char *path = in_cache(name, NULL);
    return access(path, F_OK) == 0;
}

static void test_open(void **state)
{
    (void)state;
    struct error err = {0};
    struct template template;
    assert_int_equal(template_open("none", &template, &err), -ENOENT);
    template_close(&template);
    add_template("half", 0);
    CLEAN_FREE char *ram = in_cache("half", "ram");
    assert_int_equal(unlink(ram), 0);
    assert_int_equal(template_open("half", &template, &err), -ENOENT);
    template_discard("half", NULL);
    assert_false(is_there("half"));
    template_discard("half", NULL); /* is gone already */

    add_template("whole", 100);
    assert_int_equal(template_open("whole", &template, &err), 0);
    assert_true(template.state >= 0 && template.ram_fd >= 0 && template.disk_fd < 0);
    template_discard("whole", &template); /* those who use it keep it */
    assert_false(is_there("whole"));
    add_template("whole", 0);
    template_discard("whole", &template); /* made anew: not the one that was found broken */
    assert_true(is_there("whole"));
    template_discard("whole", NULL);
    struct stat st;
    assert_int_equal(fstat(template.ram_fd, &st), 0);
    assert_int_equal(st.st_size, BLOCK);
    template_close(&template);
    template_close(&template);
}

/* From the least recently used on, but none that is held; opening one is a use. */
static void test_trim(void **state)
{
    (void)state;
    struct error err = {0};
    struct template used, held;
    add_template("oldest", 500);
    add_template("held", 400);
    add_template("old", 300);
    add_template("new", 200);
    add_template("used", 600);
    assert_int_equal(template_open("used", &used, &err), 0);
    template_close(&used);
    assert_int_equal(template_open("held", &held, &err), 0);
    CLEAN_FREE char *lock = in_cache("held", "lock");
    const struct timespec long_ago[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, lock, long_ago, 0), 0); /* the first to go, but held */

    templates_trim((uint64_t)1 << 30);
    assert_true(is_there("oldest") && is_there("held") && is_there("old") && is_there("new") &&
                is_there("used"));
    templates_trim(3 * (BLOCK + 8192)); /* room for three with their small files */
    assert_false(is_there("oldest") || is_there("old"));
    assert_true(is_there("held") && is_there("new") && is_there("used"));
    templates_trim(0);
    assert_false(is_there("new") || is_there("used"));
    assert_true(is_there("held"));
    template_close(&held);
    templates_trim(0);
    assert_false(is_there("held"));
}

/* What a builder that was killed has left goes at once; what one works on does not. */
static void test_left_over(void **state)
{
    (void)state;
    struct error err = {0};
    CLEAN_FREE char *bare = in_cache("without-lock", NULL);
    assert_int_equal(path_mkdirs(bare, 0700, &err), 0);
    add_template(".new-killed", 0);
    add_template(".gone-killed-1", 0);
    add_template("whole", 0);
    CLEAN_FREE char *building = NULL;
    CLEAN_FD int hold = -1;
    assert_int_equal(template_entry(&building, &hold, &err), 0);
    templates_trim((uint64_t)1 << 30);
    assert_false(is_there("without-lock") || is_there(".new-killed") || is_there(".gone-killed-1"));
    assert_true(is_there("whole"));
    assert_int_equal(access(building, F_OK), 0);
    templates_trim(0);
    assert_int_equal(access(building, F_OK), 0);
    cleanup_fd(&hold);
    hold = -1;
    templates_trim(0);
    assert_int_not_equal(access(building, F_OK), 0);
}

static const struct machine machine = {
    .binary = "/usr/bin/qemu",
    .name = "vmdeck-1",
    .kernel = "/k",
    .initrd = "/cache/initrd/abc",
    .disk = {"/top", "/base"},
    .ram = "/ram",
    .memory = 128u << 20,
    .cpus = 2,
};

static const char *after(const struct strv *argv, const char *option)
{
    for (size_t i = 0; i + 1 < argv->count; i++)
        if (strcmp(argv->items[i], option) == 0)
            return argv->items[i + 1];
    return NULL;
}

static void arguments(const struct machine *of, struct strv *argv)
{
    struct error err = {0};
    strv_free(argv);
    assert_int_equal(machine_arguments(of, argv, &err), 0);
}

static void test_arguments(void **state)
{
    (void)state;
    CLEAN_STRV struct strv argv = {0};
    struct machine other = machine;
    arguments(&machine, &argv);
    assert_string_equal(argv.items[0], "/usr/bin/qemu");
    assert_string_equal(after(&argv, "-kernel"), "/k");
    assert_string_equal(after(&argv, "-m"), "134217728B");
    assert_string_equal(after(&argv, "-smp"), "2,maxcpus=2");
    assert_string_equal(after(&argv, "-accel"), "tcg,thread=multi");
    assert_string_equal(after(&argv, "-object"),
                        "memory-backend-file,id=ram,size=134217728B,mem-path=/ram,share=off");
    assert_null(after(&argv, "-incoming"));
    assert_non_null(strstr(after(&argv, "-sandbox"), "spawn=deny"));

    other.kernel = NULL;
    other.restore = true;
    arguments(&other, &argv);
    assert_null(after(&argv, "-kernel"));
    assert_null(after(&argv, "-append"));
    assert_null(after(&argv, "-initrd"));
    assert_string_equal(after(&argv, "-incoming"), "fd:6");
    assert_null(after(&argv, "-S"));
    other.stopped = true;
    arguments(&other, &argv);
    assert_non_null(after(&argv, "-S"));

    other = machine;
    other.cpus = 1;
    arguments(&other, &argv);
    assert_string_equal(after(&argv, "-smp"), "1,maxcpus=2"); /* or QEMU leaves barriers out */
    assert_non_null(strstr(after(&argv, "-append"), " nr_cpus=1"));

    other.kvm = true;
    arguments(&other, &argv);
    assert_string_equal(after(&argv, "-smp"), "1,maxcpus=1");
    assert_string_equal(after(&argv, "-accel"), "kvm");
    assert_string_equal(after(&argv, "-cpu"), "host");
    assert_null(strstr(after(&argv, "-append"), "norandmaps")); /* hardening is only cut for TCG */
}

/* Every layer, top first; only the top is written, and the last one is raw. */
static void test_disk(void **state)
{
    (void)state;
    CLEAN_STRV struct strv argv = {0};
    struct machine other = machine;
    other.disk[1] = "/middle";
    other.disk[2] = "/base";
    arguments(&other, &argv);
    const char *disk = after(&argv, "-blockdev");
    const char *top = strstr(disk, "\"/top\""), *middle = strstr(disk, "\"/middle\"");
    const char *base = strstr(disk, "\"/base\"");
    assert_true(top != NULL && top < middle && middle < base);
    assert_true(strstr(disk, "\"driver\":\"raw\"") > middle);
    const char *first = strstr(disk, "\"read-only\":true");
    assert_true(first > top && first < middle);
}

static void test_unusable(void **state)
{
    (void)state;
    static const struct {
        const char *ram, *disk;
        uint64_t memory;
    } rows[] = {
        {"/a,b", "/d", 1 << 20},
        {"/a\"b", "/d", 1 << 20},
        {"/a", "/d\"", 1 << 20},
        {"/a", "/d\\", 1 << 20},
        {"/a", "/d", MACHINE_MEMORY_MAX + 1},
        {"/a", "/d", UINT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_STRV struct strv argv = {0};
        struct error err = {0};
        struct machine other = machine;
        other.ram = rows[i].ram;
        other.disk[1] = rows[i].disk;
        other.memory = rows[i].memory;
        assert_int_equal(machine_arguments(&other, &argv, &err), -EINVAL);
    }
}

/* The shape says what guest memory depends on, and nothing else. */
static void test_shape(void **state)
{
    (void)state;
    char shape[MACHINE_SHAPE_SIZE], other_shape[MACHINE_SHAPE_SIZE];
    struct error err = {0};
    struct machine same = machine, others[3] = {machine, machine, machine};
    assert_int_equal(machine_shape(&machine, shape, &err), 0);
    assert_int_equal(strspn(shape, "0123456789abcdef"), MACHINE_SHAPE_SIZE - 1);
    same.name = "vmdeck-2";
    same.ram = "/other";
    same.ram_shared = same.restore = true;
    same.disk[0] = "/other";
    same.kernel = NULL;
    assert_int_equal(machine_shape(&same, other_shape, &err), 0);
    assert_string_equal(shape, other_shape);
    others[0].memory++;
    others[1].cpus++;
    others[2].kvm = true;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        assert_int_equal(machine_shape(&others[i], other_shape, &err), 0);
        assert_string_not_equal(shape, other_shape);
    }
}

static void test_key(void **state)
{
    (void)state;
    struct error err = {0};
    char key[TEMPLATE_KEY_SIZE], other_key[TEMPLATE_KEY_SIZE];
    CLEAN_FREE char *binary = str_printf("%s/qemu", directory);
    assert_int_equal(path_write(binary, 0700, "1", 1, &err), 0);
    struct template_spec spec = {
        .machine = machine, .image_id = "image", .rootfs = "/r", .disk_size = 1 << 30};
    spec.machine.binary = binary;
    assert_int_equal(template_key(&spec, key, &err), 0);
    struct template_spec others[4] = {spec, spec, spec, spec};
    others[0].image_id = "another";
    others[1].disk_size++;
    others[2].machine.initrd = "/cache/initrd/abd";
    others[3].machine.cpus = 1;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        assert_int_equal(template_key(&others[i], other_key, &err), 0);
        assert_string_not_equal(key, other_key);
    }
    assert_int_equal(path_write(binary, 0700, "12", 2, &err), 0); /* QEMU was updated */
    assert_int_equal(template_key(&spec, other_key, &err), 0);
    assert_string_not_equal(key, other_key);
    assert_int_equal(unlink(binary), 0);
    assert_int_equal(template_key(&spec, other_key, &err), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open, make_cache, remove_cache),
        cmocka_unit_test_setup_teardown(test_trim, make_cache, remove_cache),
        cmocka_unit_test_setup_teardown(test_left_over, make_cache, remove_cache),
        cmocka_unit_test_setup_teardown(test_key, make_cache, remove_cache),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_unusable),
        cmocka_unit_test(test_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
