/*
 * Throughput of the terminal engine: 64 MB of 68-byte ASCII lines and 32 MB of 256-colour cells,
 * in writes of 64 KiB as a pty's reader makes them. Prints MB/s of processor time, the engine's
 * memory and the process's, for each size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "payload.h"
#include "session/term/term.h"

#define MB    1048576
#define CHUNK 65536

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int run(const char *name, const char *data, size_t size, bool newlines, int rows, int cols)
{
    struct term_options options = {.rows = rows, .cols = cols, .history = TERM_HISTORY};
    struct term *term;
    if (term_new(&term, &options, NULL) != 0)
        return 1;
    if (newlines) /* the pty's line discipline would send \r\n */
        term_write(term, "\033[20h", 5);
    double start = seconds();
    for (size_t at = 0; at < size; at += CHUNK)
        term_write(term, data + at, size - at < CHUNK ? size - at : CHUNK);
    double took = seconds() - start;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%-7s %3dx%-3d %7.1f MB/s  terminal %5.1f MB  process %ld MB\n", name, rows, cols,
           (double)size / MB / took, (double)term_memory(term) / MB, usage.ru_maxrss / 1024);
    term_free(term);
    return 0;
}

int main(void)
{
    char *data = malloc((size_t)64 * MB);
    if (data == NULL)
        return 1;
    size_t size = payload_ascii(data, (size_t)64 * MB);
    int failed = run("ascii", data, size, true, 24, 80) + run("ascii", data, size, true, 50, 200);
    size = payload_colour(data, (size_t)32 * MB);
    failed += run("colour", data, size, false, 24, 80) + run("colour", data, size, false, 50, 200);
    free(data);
    return failed;
}
