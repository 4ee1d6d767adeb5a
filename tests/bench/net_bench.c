/*
 * What mediation costs without a VM: curl on Linux's own TCP behind a TAP device, through the whole
 * of net/, to servers on loopback in the same process. By hand: net_bench [MIB]
 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "net_tap.h"
#include "net_world.h"

static int client(void *argument)
{
    const int *fd = argument;
    uint16_t ports[2];
    if (read(*fd, ports, sizeof ports) != sizeof ports)
        return 1;
    char text[2][8];
    snprintf(text[0], sizeof text[0], "%u", ports[0]);
    snprintf(text[1], sizeof text[1], "%u", ports[1]);
    const char *argv[] = {
        "sh",
        "-ec",
        "p=$1 t=$2 ca=$3\n"
        "c() { curl -sS --noproxy '*' --cacert $ca -o /dev/null --resolve a.example:$p:198.18.0.9"
        " --resolve a.example:$t:198.18.0.9 \"$@\"; }\n"
        "f='%{url} %{speed_download} bytes/s\\n'\n"
        "c -w \"$f\" http://a.example:$p/big; c -w \"$f\" https://a.example:$t/big\n"
        "for u in http://a.example:$p https://a.example:$t; do s=$(date +%s%N)\n"
        "c \"$u/[1-200]\"; e=$(date +%s%N); echo \"$u: $((200000000000 / (e - s))) requests/s\"; "
        "done\n",
        "bench",
        text[0],
        text[1],
        ca_path("vmdeck/ca/ca.crt"),
        NULL};
    struct process_spec spec = {
        .argv = argv, .fds = (struct process_fd[]){{1, 1}, {2, 2}}, .fd_count = 2};
    pid_t pid = process_spawn(&spec, NULL);
    return pid > 0 && process_wait(pid) == 0 ? 0 : 1;
}

static void child_ended(uv_signal_t *signal, int number)
{
    (void)signal;
    (void)number;
}

static void ignore_event(void *context, const char *type, cJSON *fields)
{
    (void)context;
    (void)type;
    cJSON_Delete(fields);
}

/* Without TLS; it and the world's own answer /big at length. */
static struct server plain;

int main(int argc, char **argv)
{
    size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 64, head;
    static struct world world;
    struct tap tap;
    int ports[2];
    if (ca_home_make(NULL) != 0 || pipe2(ports, O_CLOEXEC) < 0 ||
        tap_start(&tap, client, &ports[0]) < 0)
        return 1;
    char *answer = malloc((mib << 20) + 100);
    head = (size_t)sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", mib << 20);
    memset(answer + head, 'x', mib << 20);
    plain = (struct server){.until = "\r\n\r\n", .answer = answer};
    world_open_server(&world, "a.example");
    server_open(&world, &plain);
    struct server *both[] = {&world.server, &plain};
    for (size_t i = 0; i < 2; i++) {
        both[i]->answer = answer;
        both[i]->big = "/big ";
        both[i]->answer_size = head + (mib << 20);
    }
    struct strv internal = {0}, resolve = {0}, roots = {0};
    struct error err = {0};
    struct net *net;
    strv_add(&internal, "a.example");
    strv_add(&resolve, "a.example=127.0.0.1");
    strv_add(&roots, ca_path("vmdeck/ca/ca.crt"));
    struct net_options options = {
        .internal = &internal, .resolve = &resolve, .upstream_ca = &roots};
    const struct net_events events = {.event = ignore_event};
    if (net_open(&net, world.core->loop, tap.fd, &options, &events, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    uint16_t numbers[2] = {plain.port, world.server.port};
    if (write(ports[1], numbers, sizeof numbers) != sizeof numbers)
        return 1;
    uv_signal_t child;
    int status = 0;
    uv_signal_init(world.core->loop, &child);
    uv_signal_start(&child, child_ended, SIGCHLD);
    while (waitpid(tap.pid, &status, WNOHANG) == 0)
        uv_run(world.core->loop, UV_RUN_ONCE);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("CPU of mediation and servers: %.2f s\n", cpu);
    (void)ca_home_remove(NULL);
    return status;
}
