/*
 * Figures come from /proc/PID/{stat,smaps_rollup} of this process and of QEMU (proc(5)), where
 * the guest's memory is QEMU's. Proportional memory (Pss) counts a page that n processes share as
 * 1/n: the sum over all sessions is what they take of the host. Walking the pages costs some
 * milliseconds, so it is only done when asked for.
 */
#include "session/host/report.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "session/host/files.h"
#include "session/host/network.h"
#include "session/host/record.h"
#include "session/protocol/json.h"

#define PROC_FILE_MAX 65536

static const char *report_state(const struct host *host)
{
    static const char *const names[] = {[HOST_WAITING] = "starting",
                                        [HOST_STARTING] = "starting",
                                        [HOST_RUNNING] = "running",
                                        [HOST_STOPPING] = "stopping",
                                        [HOST_ENDED] = "stopping"};
    return names[host->state];
}

static void add_text(cJSON *reply, const char *name, const char *text)
{
    if (text != NULL && *text != '\0')
        cJSON_AddStringToObject(reply, name, text);
    else
        cJSON_AddNullToObject(reply, name);
}

int report_info(struct peer *peer, const cJSON *request, struct error *err)
{
    (void)err;
    const struct host *host = peer->host;
    pid_t qemu = host->qemu != NULL ? qemu_pid(host->qemu) : 0;
    char created[EVENT_TIME_SIZE];
    event_time_text(record_created(host), created);
    cJSON *reply = cJSON_CreateObject();
    cJSON_AddStringToObject(reply, "session", host->id);
    add_text(reply, "name", host->config.name);
    cJSON_AddStringToObject(reply, "state",
                            host->state == HOST_RUNNING ? session_state_name(network_state(host))
                                                        : report_state(host));
    add_text(reply, "image", host->image.name);
    add_text(reply, "image_build", host->image.id);
    add_text(reply, "arch", host->image.arch);
    cJSON_AddStringToObject(reply, "accel", accel_name(&host->accel));
    cJSON_AddNumberToObject(reply, "memory", (double)host->config.memory);
    cJSON_AddNumberToObject(reply, "cpus", (double)host->config.cpus);
    cJSON_AddNumberToObject(reply, "pid", getpid());
    cJSON_AddNumberToObject(reply, "qemu_pid", qemu > 0 ? qemu : 0);
    cJSON_AddStringToObject(reply, "created", created);
    add_text(reply, "command", host->config.command);
    cJSON_AddNumberToObject(reply, "terminals", host->terminal_count);
    cJSON_AddNumberToObject(reply, "pending", network_pending(host));
    files_report(host, cJSON_AddArrayToObject(reply, "mounts"));
    peer_reply(peer, (uint32_t)json_number(request, "id", 0), reply, NULL);
    return 1;
}

struct usage {
    double cpu;                      /* seconds */
    uint64_t proportional, resident; /* bytes */
};

/* "Name:   123 kB" of a status-like file, in bytes. */
static uint64_t usage_line(const char *text, const char *name)
{
    uint64_t kib = 0;
    const char *line = strstr(text, name);
    if (line != NULL)
        (void)sscanf(line + strlen(name), "%" SCNu64, &kib); /* 0 where it is no number */
    return kib * 1024;
}

/* Adds what the process uses; one that has just ended uses nothing. */
static void usage_add(pid_t pid, struct usage *usage)
{
    CLEAN_BUF struct buf stat = {0}, maps = {0};
    CLEAN_FREE char *stat_path = str_printf("/proc/%d/stat", (int)pid);
    CLEAN_FREE char *maps_path = str_printf("/proc/%d/smaps_rollup", (int)pid);
    uint64_t user = 0, kernel = 0;
    if (stat_path == NULL || maps_path == NULL ||
        path_read(stat_path, PROC_FILE_MAX, &stat, NULL) < 0 || buf_string(&stat) == NULL)
        return;
    const char *fields = strrchr(buf_string(&stat), ')'); /* the name may hold anything */
    if (fields != NULL &&
        sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user,
               &kernel) == 2)
        usage->cpu += (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
    if (path_read(maps_path, PROC_FILE_MAX, &maps, NULL) == 0 && buf_string(&maps) != NULL) {
        usage->proportional += usage_line(buf_string(&maps), "\nPss:");
        usage->resident += usage_line(buf_string(&maps), "\nRss:");
    }
}

static uint64_t usage_disk(const struct host *host)
{
    uint64_t bytes = 0;
    struct stat st;
    const struct dirent *entry;
    DIR *dir = opendir(host->directory);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_blocks * 512;
    if (dir != NULL)
        closedir(dir);
    return bytes;
}

int report_stats(struct peer *peer, const cJSON *request, struct error *err)
{
    (void)err;
    const struct host *host = peer->host;
    struct usage usage = {0};
    usage_add(getpid(), &usage);
    if (host->qemu != NULL && qemu_pid(host->qemu) > 0)
        usage_add(qemu_pid(host->qemu), &usage);
    cJSON *reply = cJSON_CreateObject();
    cJSON_AddStringToObject(reply, "session", host->id);
    cJSON_AddNumberToObject(reply, "uptime", (double)(uv_hrtime() - host->ready_at) / 1e9);
    cJSON_AddNumberToObject(reply, "cpu", usage.cpu);
    cJSON_AddNumberToObject(reply, "memory_proportional", (double)usage.proportional);
    cJSON_AddNumberToObject(reply, "memory_resident", (double)usage.resident);
    cJSON_AddNumberToObject(reply, "disk", (double)usage_disk(host));
    network_stats(peer, (uint32_t)json_number(request, "id", 0), reply);
    return 1;
}

int report_subscribe(struct peer *peer, const cJSON *request, struct error *err)
{
    (void)request;
    (void)err;
    peer->subscribed = true;
    return 0;
}
