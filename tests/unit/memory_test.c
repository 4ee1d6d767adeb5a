/*
 * The memory of a process is copied, written, put back and compared. The process is a child that
 * maps a RAM file as QEMU does, and changes it step by step as it is told through a socket.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/frame.h"
#include "vm/memory.h"

#define PAGE  ((size_t)MEMORY_PAGE)
#define PAGES 2311 /* four blocks and a part of one */
#define SIZE  (PAGES * PAGE)

enum layout { WHOLE, TWO_HALVES, FLAGS_DIFFER, LAYOUTS };

struct child {
    pid_t pid;
    int socket;
};

/* What a page is before, and what each step makes of it; the same function in child and parent. */
static bool in_file(size_t page)
{
    return page % 7 == 1 || (page >= 700 && page < 1300);
}

static void fill(uint8_t *page, size_t number, unsigned step)
{
    for (size_t i = 0; i < PAGE; i += sizeof(uint32_t)) {
        uint32_t value = (uint32_t)((number << 8 | step) * 2654435761U + i);
        memcpy(page + i, &value, sizeof value);
    }
}

/* Page `number` of the memory in a step, which starts at 1. */
static void change(uint8_t *page, size_t number, unsigned step)
{
    switch ((number + step * 3) % 13) {
    case 0:
    case 1:
        fill(page, number, step);
        break;
    case 2:
        memset(page, 0, PAGE);
        break; /* over data, too */
    case 3:
        page[PAGE - 1] = 7;
        break; /* the last byte alone */
    case 4:
        *(volatile uint8_t *)page = page[0];
        break; /* written, and the same */
    case 5:
        (void)*(volatile uint8_t *)page;
        break; /* read only */
    default:
        break;
    }
    if (step == 2 && number >= 1400 && number < 2200)
        fill(page, number, step); /* much, when the copy has been prepared for less */
}

static void change_all(uint8_t *halves[2], unsigned step)
{
    for (size_t i = 0; i < PAGES; i++)
        change(halves[i < PAGES / 2 ? 0 : 1] + i * PAGE, i, step);
}

/* Both are where page 0 would be. Around a mapping nothing is mapped, and between two of them. */
static bool map_ram(int ram, int flags, enum layout layout, uint8_t *halves[2])
{
    const size_t half = PAGES / 2 * PAGE;
    uint8_t *room = mmap(NULL, 4 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return false;
    munmap(room, 4 * SIZE);
    halves[0] = halves[1] = room + 2 * SIZE;
    if (layout == TWO_HALVES)
        halves[1] = room + PAGE - half; /* at a lower address than the first half */
    if (layout != TWO_HALVES)
        return mmap(halves[0], SIZE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, ram, 0) !=
                   MAP_FAILED &&
               (layout == WHOLE || madvise(halves[0] + 600 * PAGE, 5 * PAGE, MADV_DONTDUMP) == 0);
    return mmap(halves[0], half, PROT_READ | PROT_WRITE, flags | MAP_FIXED, ram, 0) != MAP_FAILED &&
           mmap(halves[1] + half, SIZE - half, PROT_READ | PROT_WRITE, flags | MAP_FIXED, ram,
                (off_t)half) != MAP_FAILED;
}

static void child_main(int socket, int ram, int flags, enum layout layout)
{
    uint8_t *halves[2];
    char step = 'x';
    if (!map_ram(ram, flags, layout, halves))
        _exit(1);
    while (write(socket, &step, 1) == 1 && read(socket, &step, 1) == 1)
        change_all(halves, (unsigned)step);
    _exit(0);
}

static void child_start(struct child *child, int ram, int flags, enum layout layout)
{
    int sockets[2];
    char ready;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    child->pid = fork();
    assert_true(child->pid >= 0);
    if (child->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(sockets[0]);
        child_main(sockets[1], ram, flags, layout);
    }
    close(sockets[1]);
    child->socket = sockets[0];
    assert_int_equal(read(child->socket, &ready, 1), 1);
}

static void child_step(const struct child *child, unsigned step)
{
    char byte = (char)step;
    assert_int_equal(write(child->socket, &byte, 1), 1);
    assert_int_equal(read(child->socket, &byte, 1), 1);
}

static void child_end(const struct child *child)
{
    close(child->socket);
    assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
}

static char directory[] = "/tmp/vmdeck-memory-XXXXXX";

static int make_file(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/XXXXXX", directory);
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static int make_ram(uint8_t *expected)
{
    int fd = make_file();
    assert_int_equal(ftruncate(fd, SIZE), 0);
    memset(expected, 0, SIZE);
    for (size_t i = 0; i < PAGES; i++)
        if (in_file(i)) {
            fill(expected + i * PAGE, i, 0);
            assert_int_equal(pwrite(fd, expected + i * PAGE, PAGE, (off_t)(i * PAGE)), PAGE);
        }
    return fd;
}

static int append(void *context, const void *data, size_t size, struct error *err)
{
    ssize_t written = write(*(int *)context, data, size);
    assert_true(size > 0 && size <= (1 << 20));
    return written == (ssize_t)size ? 0 : error_system(err, errno, "write");
}

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* The map is the shortest that there is for the expected memory. */
static uint64_t check_map(const struct buf *map, const uint8_t *expected)
{
    uint64_t at = 0, total = 0;
    for (size_t i = 0; i < buf_len(map); i += MEMORY_MAP_ENTRY) {
        uint64_t offset = get_u64(buf_data(map) + i), length = get_u64(buf_data(map) + i + 8);
        assert_true(offset > at || i == 0);
        assert_true(length > 0 && offset + length <= SIZE);
        for (; at < offset; at += PAGE)
            assert_true(is_zero(expected + at));
        for (; at < offset + length; at += PAGE)
            assert_false(is_zero(expected + at));
        total += length;
    }
    for (; at < SIZE; at += PAGE)
        assert_true(is_zero(expected + at));
    return total;
}

/* Writes the memory (of the file, without copy) and puts it back, which must be what is expected.
 */
static void check_written(const struct memory_copy *copy, int ram, const uint8_t *expected)
{
    struct error err = {0};
    struct buf map = {0};
    static const char before[] = "something in front of the pages";
    int pages = make_file(), back = make_file();
    struct memory_sink sink = {append, &pages};
    assert_int_equal(write(pages, before, sizeof before), sizeof before);
    int rc = copy != NULL ? memory_write(copy, &sink, &map, NULL, &err)
                          : memory_write_file(ram, SIZE, &sink, &map, NULL, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, 0);
    struct memory_source source = {buf_data(&map), buf_len(&map), pages, sizeof before,
                                   check_map(&map, expected)};
    assert_int_equal(lseek(pages, 0, SEEK_END), sizeof before + source.length);
    assert_int_equal(memory_restore(&source, back, SIZE, NULL, &err), 0);
    const uint8_t *memory = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, back, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_memory_equal(memory, expected, SIZE);
    munmap((void *)memory, SIZE);
    close(back);
    close(pages);
    buf_free(&map);
}

struct round_trip {
    int flags;
    enum layout layout;
    unsigned threads;
    uint64_t limit;
};

static void check_round_trip(const struct round_trip *trip)
{
    struct error err = {0};
    struct child child;
    struct memory_copy *copy;
    static uint8_t expected[SIZE];
    uint8_t *halves[2] = {expected, expected};
    int ram = make_ram(expected);
    child_start(&child, ram, trip->flags, trip->layout);
    struct memory_spec spec = {.pid = child.pid,
                               .ram = ram,
                               .size = SIZE,
                               .spill = directory,
                               .limit = trip->limit,
                               .threads = trip->threads};
    child_step(&child, 1);
    change_all(halves, 1);
    int rc = memory_prepare(&copy, &spec, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, 0);
    uint64_t prepared = memory_copied(copy);
    child_step(&child, 2);
    change_all(halves, 2);
    assert_int_equal(memory_capture(copy, &err), 0);
    assert_true(memory_copied(copy) > prepared);
    assert_true(memory_copied(copy) < SIZE);
    child_step(&child, 3); /* too late */
    child_end(&child);
    check_written(copy, -1, expected);
    check_written(copy, -1, expected); /* as often as one likes */
    memory_release(copy);
    close(ram);
}

static void test_round_trips(void **state)
{
    static const struct round_trip trips[] = {
        {MAP_PRIVATE, WHOLE, 0, 0},
        {MAP_PRIVATE, WHOLE, 1, 0},
        {MAP_PRIVATE, WHOLE, MEMORY_THREADS_MAX, 0},
        {MAP_PRIVATE, TWO_HALVES, 0, 0},
        {MAP_PRIVATE, FLAGS_DIFFER, 0, 0},
        {MAP_SHARED, WHOLE, 0, 0},
        {MAP_SHARED, TWO_HALVES, 0, 0},
        {MAP_PRIVATE, WHOLE, 0, 1}, /* a file at once */
        {MAP_PRIVATE, TWO_HALVES, 0, 1},
        {MAP_SHARED, WHOLE, 0, 1},
        {MAP_PRIVATE, WHOLE, 0, 1100 * MEMORY_PAGE}, /* a file when more has been changed */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(trips); i++)
        check_round_trip(&trips[i]);
}

static void test_file(void **state)
{
    static uint8_t expected[SIZE];
    struct error err;
    struct buf map = {0};
    struct memory_sink sink = {append, NULL};
    (void)state;
    int ram = make_ram(expected), empty = make_file();
    check_written(NULL, ram, expected);
    assert_int_equal(ftruncate(ram, (off_t)(PAGES / 7 * 7 - 6) * MEMORY_PAGE + 1), 0); /* in data */
    sink.context = &empty;
    assert_int_equal(memory_write_file(ram, SIZE, &sink, &map, NULL, &err), -ENODATA);
    assert_int_equal(memory_write_file(ram, SIZE - 1, &sink, &map, NULL, &err), -EINVAL);
    buf_free(&map);
    close(empty);
    close(ram);
}

static void test_limit(void **state)
{
    static const struct {
        uint64_t limit;
        int prepare, capture;
    } rows[] = {
        {0, 0, 0},
        {SIZE, 0, 0},
        {1, -ENOENT, 0},                  /* a file at once */
        {1100 * MEMORY_PAGE, 0, -ENOENT}, /* a file later */
    };
    static uint8_t expected[SIZE];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err;
        struct child child;
        struct memory_copy *copy;
        int ram = make_ram(expected);
        child_start(&child, ram, MAP_PRIVATE, WHOLE);
        struct memory_spec spec = {.pid = child.pid,
                                   .ram = ram,
                                   .size = SIZE,
                                   .spill = "/nonexistent/vmdeck",
                                   .limit = rows[i].limit};
        child_step(&child, 1);
        assert_int_equal(memory_prepare(&copy, &spec, &err), rows[i].prepare);
        child_step(&child, 2);
        if (copy != NULL)
            assert_int_equal(memory_capture(copy, &err), rows[i].capture);
        memory_release(copy);
        child_end(&child);
        close(ram);
    }
}

/* What is not the memory of a VM, is refused before anything is stopped for it. */
static void test_prepare_refuses(void **state)
{
    static uint8_t expected[SIZE];
    struct error err;
    struct child child;
    struct memory_copy *copy;
    const int canceled = 1;
    (void)state;
    int ram = make_ram(expected), other = make_ram(expected), small = make_file();
    child_start(&child, ram, MAP_PRIVATE, WHOLE);
    assert_int_equal(ftruncate(ram, 2 * SIZE), 0);
    child_step(&child, 1);
    const struct {
        pid_t pid;
        int ram;
        uint64_t size;
        const volatile int *cancel;
        int result;
    } rows[] = {
        {child.pid, ram, SIZE, NULL, 0},
        {child.pid, other, SIZE, NULL, -ENXIO},   /* does not map that file */
        {child.pid, ram, SIZE * 2, NULL, -ENXIO}, /* maps half of it */
        {child.pid, small, SIZE, NULL, -EINVAL},
        {child.pid, ram, SIZE - 1, NULL, -EINVAL},
        {child.pid, ram, 0, NULL, -EINVAL},
        {child.pid, ram, MEMORY_SIZE_MAX + PAGE, NULL, -EINVAL},
        {child.pid, ram, SIZE, &canceled, -ECANCELED},
        {getpid(), ram, SIZE, NULL, -ENXIO},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct memory_spec spec = {.pid = rows[i].pid,
                                   .ram = rows[i].ram,
                                   .size = rows[i].size,
                                   .spill = directory,
                                   .cancel = rows[i].cancel};
        assert_int_equal(memory_prepare(&copy, &spec, &err), rows[i].result);
        assert_true((copy != NULL) == (rows[i].result == 0));
        memory_release(copy);
    }
    child_end(&child);
    close(ram);
    close(other);
    close(small);
}

static int full(void *context, const void *data, size_t size, struct error *err)
{
    (void)context;
    (void)data;
    (void)size;
    return error_set(err, ENOSPC, "full");
}

/* The VM dies before it is copied; the user does not want the copy any more; the disk is full. */
static void test_interrupted(void **state)
{
    static uint8_t expected[SIZE];
    struct error err;
    struct buf map = {0};
    struct child child;
    struct memory_copy *copy;
    siginfo_t info;
    volatile int cancel = 0;
    (void)state;
    int ram = make_ram(expected);
    child_start(&child, ram, MAP_PRIVATE, WHOLE);
    struct memory_spec spec = {
        .pid = child.pid, .ram = ram, .size = SIZE, .spill = directory, .cancel = &cancel};
    child_step(&child, 1);
    assert_int_equal(memory_prepare(&copy, &spec, &err), 0);
    assert_int_equal(memory_capture(copy, &err), 0);
    struct memory_sink sink = {full, NULL};
    assert_int_equal(memory_write(copy, &sink, &map, NULL, &err), -ENOSPC);
    assert_string_equal(err.message, "full");
    cancel = 1;
    assert_int_equal(memory_write(copy, &sink, &map, &cancel, &err), -ECANCELED);
    assert_int_equal(memory_capture(copy, &err), -ECANCELED);
    cancel = 0;
    memory_release(copy);
    assert_int_equal(memory_prepare(&copy, &spec, &err), 0);
    kill(child.pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(memory_capture(copy, &err), -ESRCH);
    memory_release(copy);
    child_end(&child);
    buf_free(&map);
    close(ram);
}

#define P ((uint64_t)MEMORY_PAGE)

/* A memory of 16 pages from a file of 8. */
static void test_maps(void **state)
{
    static const struct {
        uint64_t map[4][2];
        size_t map_size;
        uint64_t length;
        int result;
    } rows[] = {
        {{{0}}, 0, 0, 0},
        {{{0, P}, {2 * P, P}}, 32, 2 * P, 0},
        {{{8 * P, 8 * P}}, 16, 8 * P, 0},
        {{{0, P}, {P, P}}, 32, 2 * P, 0}, /* neighbours, not merged */
        {{{0}}, 0, P, -EBADMSG},
        {{{0, P}}, 15, P, -EBADMSG},
        {{{0, P}}, 17, P, -EBADMSG},
        {{{0, P}}, 16, 2 * P, -EBADMSG},
        {{{0, P}}, 16, 0, -EBADMSG},
        {{{0, P}}, 16, P + 1, -EBADMSG},
        {{{1, P}}, 16, P, -EBADMSG},
        {{{0, P - 1}}, 16, P - 1, -EBADMSG},
        {{{0, 0}}, 16, 0, -EBADMSG},
        {{{0, 2 * P}, {P, P}}, 32, 3 * P, -EBADMSG}, /* overlap */
        {{{0, P}, {0, P}}, 32, 2 * P, -EBADMSG},
        {{{4 * P, P}, {0, P}}, 32, 2 * P, -EBADMSG}, /* descend */
        {{{16 * P, P}}, 16, P, -EBADMSG},            /* beyond the memory */
        {{{15 * P, 2 * P}}, 16, 2 * P, -EBADMSG},
        {{{0, 17 * P}}, 16, 17 * P, -EBADMSG},
        {{{P, -P}}, 16, -P, -EBADMSG}, /* the sum is 0 */
        {{{-P, 2 * P}}, 16, 2 * P, -EBADMSG},
        {{{0, P}, {2 * P, -P}}, 32, 0, -EBADMSG},
        {{{0, 9 * P}}, 16, 9 * P, -EBADMSG}, /* the file is too short */
    };
    (void)state;
    int pages = make_file();
    assert_int_equal(ftruncate(pages, (off_t)(8 * P)), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err;
        struct stat status;
        uint8_t map[80];
        for (size_t j = 0; j < 8; j++)
            put_u64(map + j * 8, rows[i].map[j / 2][j % 2]);
        struct memory_source source = {map, rows[i].map_size, pages, 0, rows[i].length};
        int ram = make_file();
        assert_int_equal(memory_restore(&source, ram, 16 * P, NULL, &err), rows[i].result);
        assert_int_equal(fstat(ram, &status), 0);
        assert_int_equal(status.st_size, rows[i].result == 0 ? 16 * P : 0);
        close(ram);
    }
    close(pages);
}

/* More runs than a memory can have, offsets that overflow, a memory that cannot be. */
static void test_restore_refuses(void **state)
{
    static const uint64_t sizes[] = {0, 1, 5 * P - 1, MEMORY_SIZE_MAX + P, UINT64_MAX & ~(P - 1)};
    struct error err;
    const int canceled = 1;
    uint8_t map[5 * MEMORY_MAP_ENTRY];
    (void)state;
    int pages = make_file(), ram = make_file();
    assert_int_equal(ftruncate(pages, (off_t)(5 * P)), 0);
    for (unsigned i = 0; i < 5; i++) {
        put_u64(map + (size_t)i * 16, i * P);
        put_u64(map + (size_t)i * 16 + 8, P);
    }
    struct memory_source source = {map, sizeof map, pages, 0, 5 * P};
    assert_int_equal(memory_restore(&source, ram, 5 * P, &canceled, &err), -ECANCELED);
    assert_int_equal(memory_restore(&source, ram, 5 * P, NULL, &err), 0);
    assert_int_equal(memory_restore(&source, ram, 4 * P, NULL, &err), -EBADMSG);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        assert_int_equal(memory_restore(&source, ram, sizes[i], NULL, &err), -EBADMSG);
    source.offset = 1;
    assert_int_equal(memory_restore(&source, ram, 5 * P, NULL, &err), -EBADMSG);
    source.offset = UINT64_MAX - P;
    assert_int_equal(memory_restore(&source, ram, 5 * P, NULL, &err), -EBADMSG);
    close(pages);
    close(ram);
}

/* As in a container whose filter forbids process_vm_readv(2). It stays so: the last test. */
static void test_filtered(void **state)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {ARRAY_SIZE(filter), filter};
    static const struct round_trip trips[] = {
        {MAP_PRIVATE, WHOLE, 0, 0}, {MAP_PRIVATE, TWO_HALVES, 0, 0}, {MAP_PRIVATE, WHOLE, 0, 1}};
    (void)state;
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(trips); i++)
        check_round_trip(&trips[i]);
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

/* Nothing may be left in it. */
static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),     cmocka_unit_test(test_file),
        cmocka_unit_test(test_limit),           cmocka_unit_test(test_prepare_refuses),
        cmocka_unit_test(test_interrupted),     cmocka_unit_test(test_maps),
        cmocka_unit_test(test_restore_refuses), cmocka_unit_test(test_filtered),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
