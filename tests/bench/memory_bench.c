/*
 * What it costs to copy, write and put back the memory of a VM: a child maps a RAM file of 512 MiB,
 * of which 128 MiB have data, and changes 256 MiB of it, in whole runs or in every other page.
 * memory_bench [DIRECTORY]: where the files go (/tmp).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/path.h"
#include "vm/memory.h"

#define MIB  ((size_t)1 << 20)
#define SIZE (512 * MIB)
#define RUNS 5

static const char *directory = "/tmp";

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void fail(const char *what)
{
    fprintf(stderr, "memory_bench: %s\n", what);
    exit(1);
}

static int make_file(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/memory-bench-XXXXXX", directory);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0 || unlink(path) < 0)
        fail("cannot make a file");
    return fd;
}

static int make_ram(void)
{
    static uint8_t data[MIB];
    int fd = make_file();
    memset(data, 3, sizeof data);
    for (size_t at = 0; at < SIZE; at += 4 * MIB)
        if (pwrite(fd, data, sizeof data, (off_t)at) != (ssize_t)sizeof data)
            fail("cannot fill the RAM file");
    if (ftruncate(fd, (off_t)SIZE) < 0)
        fail("cannot fill the RAM file");
    return fd;
}

static void change(int ram, size_t run, int ready)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    uint8_t *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, ram, 0);
    for (size_t at = 0; memory != MAP_FAILED && at < SIZE; at += 2 * run)
        memset(memory + at, 7, run);
    if (write(ready, "", 1) == 1)
        pause();
    _exit(1);
}

static pid_t start_child(int ram, size_t run)
{
    int fds[2];
    char byte;
    if (pipe2(fds, O_CLOEXEC) < 0)
        fail("pipe");
    pid_t pid = fork();
    if (pid == 0)
        change(ram, run, fds[1]);
    close(fds[1]);
    if (pid < 0 || read(fds[0], &byte, 1) != 1)
        fail("no child");
    close(fds[0]);
    return pid;
}

static int append(void *context, const void *data, size_t size, struct error *err)
{
    int rc = fd_write_all(*(int *)context, data, size);
    return rc < 0 ? error_system(err, -rc, "cannot write") : 0;
}

static void measure(const struct memory_spec *spec, const char *what)
{
    double best[4] = {1e9, 1e9, 1e9, 1e9}, capture_worst = 0;
    for (int i = 0; i < RUNS; i++) {
        struct error err;
        struct memory_copy *copy;
        struct buf map = {0};
        int pages = make_file(), back = make_file();
        struct memory_sink sink = {append, &pages};
        double times[5] = {now()};
        if (memory_prepare(&copy, spec, &err) < 0)
            fail(err.message);
        times[1] = now();
        if (memory_capture(copy, &err) < 0)
            fail(err.message);
        times[2] = now();
        if (memory_write(copy, &sink, &map, NULL, &err) < 0)
            fail(err.message);
        times[3] = now();
        struct memory_source source = {buf_data(&map), buf_len(&map), pages, 0,
                                       (uint64_t)lseek(pages, 0, SEEK_END)};
        if (memory_restore(&source, back, SIZE, NULL, &err) < 0)
            fail(err.message);
        times[4] = now();
        for (int j = 0; j < 4; j++)
            if (times[j + 1] - times[j] < best[j])
                best[j] = times[j + 1] - times[j];
        if (times[2] - times[1] > capture_worst)
            capture_worst = times[2] - times[1];
        memory_release(copy);
        buf_free(&map);
        close(pages);
        close(back);
    }
    printf("%-22s %u threads: prepare %5.1f  capture %5.1f (worst %5.1f)  write %6.1f  "
           "restore %6.1f ms\n",
           what, spec->threads, best[0], best[1], capture_worst, best[2], best[3]);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *what;
        size_t run;
        uint64_t limit;
    } rows[] = {
        {"runs of 1 MiB", MIB, 0},
        {"every other page", MEMORY_PAGE, 0},
        {"runs of 1 MiB, to file", MIB, 1},
    };
    if (argc > 1)
        directory = argv[1];
    setlinebuf(stdout);
    int ram = make_ram();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pid_t pid = start_child(ram, rows[i].run);
        for (unsigned threads = 1; threads <= 2; threads++) {
            struct memory_spec spec = {.pid = pid,
                                       .ram = ram,
                                       .size = SIZE,
                                       .spill = directory,
                                       .limit = rows[i].limit,
                                       .threads = threads};
            measure(&spec, rows[i].what);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    close(ram);
    return 0;
}
