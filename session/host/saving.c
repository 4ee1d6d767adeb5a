/*
 * What a snapshot says of its session, and what it keeps of its terminals. Each terminal is an
 * object of the manifest (what runs in it, where its stream stands) with its place in the section
 * "terminals", which holds them one behind the other as session/term/save.h makes them.
 */
#include "session/host/saving.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "session/host/files.h"
#include "session/host/network.h"
#include "session/host/terminals.h"
#include "session/host/vm.h"
#include "session/protocol/json.h"
#include "session/store/events.h"
#include "session/term/save.h"

#define TERMINALS_SIZE_MAX ((uint64_t)1 << 30)

static void add_text(cJSON *object, const char *name, const char *text)
{
    if (text != NULL)
        cJSON_AddStringToObject(object, name, text);
}

static cJSON *stream_json(const struct guest_command *command)
{
    struct guest_command_state state;
    guest_command_state(command, &state);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "stream", state.stream);
    cJSON_AddNumberToObject(object, "input", state.input_credit);
    cJSON_AddNumberToObject(object, "output", state.output_credit[WIRE_STDOUT]);
    cJSON_AddNumberToObject(object, "errors", state.output_credit[WIRE_STDERR]);
    cJSON_AddBoolToObject(object, "output_ended", state.ended[WIRE_STDOUT]);
    cJSON_AddBoolToObject(object, "errors_ended", state.ended[WIRE_STDERR]);
    return object;
}

static void stream_parse(const cJSON *object, struct guest_command_state *state)
{
    /* what is too large is refused by guest_adopt() */
    *state = (struct guest_command_state){
        .stream = (uint32_t)json_number(object, "stream", 0),
        .input_credit = (uint32_t)json_number(object, "input", 0),
    };
    state->output_credit[WIRE_STDOUT] = (uint32_t)json_number(object, "output", 0);
    state->output_credit[WIRE_STDERR] = (uint32_t)json_number(object, "errors", 0);
    state->ended[WIRE_STDOUT] = json_bool(object, "output_ended");
    state->ended[WIRE_STDERR] = json_bool(object, "errors_ended");
}

static int terminal_json(const struct terminal *terminal, struct saving *saving, cJSON *list,
                         struct error *err)
{
    size_t at = buf_len(&saving->terminals);
    int rc = term_save(terminal->term, &saving->terminals, err);
    if (rc < 0)
        return rc;
    cJSON *object = stream_json(terminal->command);
    cJSON_AddNumberToObject(object, "id", terminal->id);
    json_add_strings(object, "argv", &terminal->argv);
    json_add_strings(object, "env", &terminal->env);
    add_text(object, "cwd", terminal->cwd);
    cJSON_AddBoolToObject(object, "shell", terminal->shell);
    cJSON_AddBoolToObject(object, "main", terminal->main);
    cJSON_AddNumberToObject(object, "used", (double)terminal->used);
    cJSON_AddNumberToObject(object, "offset", (double)at);
    cJSON_AddNumberToObject(object, "length", (double)(buf_len(&saving->terminals) - at));
    cJSON_AddItemToArray(list, object);
    return 0;
}

struct others {
    const struct host *host;
    cJSON *list;
};

/* Commands of clients, which do not come along. */
static void other_command(void *context, const struct guest_command *command)
{
    const struct others *others = context;
    for (const struct terminal *t = others->host->terminals; t != NULL; t = t->next)
        if (t->command == command)
            return;
    cJSON_AddItemToArray(others->list, stream_json(command));
}

static void manifest_machine(const struct host *host, cJSON *manifest)
{
    cJSON *image = cJSON_AddObjectToObject(manifest, "image");
    add_text(image, "name", host->image.name);
    add_text(image, "id", host->image.id);
    add_text(image, "arch", host->image.arch);
    add_text(image, "directory", host->image.directory);
    cJSON *machine = cJSON_AddObjectToObject(manifest, "machine");
    add_text(machine, "shape", host->vm->shape);
    add_text(machine, "qemu", qmp_version(qemu_qmp(host->qemu)));
    add_text(machine, "accel", accel_name(&host->accel));
    cJSON_AddNumberToObject(machine, "memory", (double)host->config.memory);
    cJSON_AddNumberToObject(machine, "cpus", (double)host->config.cpus);
    cJSON_AddNumberToObject(machine, "disk", (double)host->vm->spec.disk_size);
}

cJSON *saving_manifest(struct saving *saving, struct error *err)
{
    const struct host *host = saving->host;
    char time[EVENT_TIME_SIZE];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    event_time_text((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, time);
    cJSON *manifest = cJSON_CreateObject();
    add_text(manifest, "kind", saving->disk_only ? "disk" : "ram");
    add_text(manifest, "created", time);
    manifest_machine(host, manifest);
    cJSON *session = cJSON_AddObjectToObject(manifest, "session");
    add_text(session, "id", host->id);
    add_text(session, "name", host->config.name);
    add_text(session, "command", host->config.command);
    json_add_strings(session, "env", &host->config.env);
    network_save(host, session);
    json_add_strings(session, "shadows", &host->config.shadows);
    files_report(host, cJSON_AddArrayToObject(session, "mounts"));
    cJSON *terminals = cJSON_AddArrayToObject(manifest, "terminals");
    cJSON *streams = cJSON_AddArrayToObject(manifest, "streams");
    int rc = 0;
    if (!saving->disk_only) {
        for (const struct terminal *t = host->terminals; t != NULL && rc == 0; t = t->next)
            if (t->command != NULL)
                rc = terminal_json(t, saving, terminals, err);
        guest_each_command(host->guest, other_command, &(struct others){host, streams});
    }
    if (rc == 0)
        return manifest;
    cJSON_Delete(manifest);
    return NULL;
}

static int resume_terminal(struct host *host, const cJSON *object, const struct snapfile *file,
                           struct error *err)
{
    struct guest_command_state state;
    struct terminal_saved saved = {
        .id = (unsigned)json_number(object, "id", 0),
        .used = json_number(object, "used", 0),
        .cwd = json_string(object, "cwd"),
        .shell = json_bool(object, "shell"),
        .main = json_bool(object, "main"),
        .stream = &state,
    };
    uint64_t offset = json_number(object, "offset", 0), length = json_number(object, "length", 0);
    CLEAN_STRV struct strv argv = {0}, env = {0};
    if (json_strings(object, "argv", &argv) < 0 || json_strings(object, "env", &env) < 0 ||
        argv.count == 0 || saved.id == 0 || length > TERMINALS_SIZE_MAX)
        return error_set(err, EBADMSG, "a terminal of it is damaged");
    CLEAN_FREE uint8_t *bytes = malloc((size_t)length + 1);
    if (bytes == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = snapfile_read(file, SNAPFILE_TERMINALS, offset, bytes, (size_t)length, err);
    stream_parse(object, &state);
    saved.argv = &argv;
    saved.env = &env;
    saved.screen = bytes;
    saved.screen_size = (size_t)length;
    return rc == 0 ? terminal_resume(host, &saved, err) : rc;
}

/* Ends in the guest what a client had started. */
static int abandon_stream(struct host *host, const cJSON *object, struct error *err)
{
    static const struct guest_command_events events = {0};
    struct guest_command_state state;
    struct guest_command *command;
    stream_parse(object, &state);
    int rc = guest_adopt(host->guest, &state, &events, NULL, &command, err);
    if (rc == 0)
        guest_abandon(command);
    return rc;
}

int terminals_resume(struct host *host, const cJSON *manifest, const struct snapfile *file,
                     struct error *err)
{
    const cJSON *terminals = cJSON_GetObjectItemCaseSensitive(manifest, "terminals");
    const cJSON *streams = cJSON_GetObjectItemCaseSensitive(manifest, "streams");
    int count = 0, rc = 0;
    const cJSON *object;
    cJSON_ArrayForEach(object, terminals)
    {
        if (rc == 0 && ++count > TERMINALS_MAX)
            rc = error_set(err, EBADMSG, "it has more than %d terminals", TERMINALS_MAX);
        if (rc == 0)
            rc = resume_terminal(host, object, file, err);
    }
    cJSON_ArrayForEach(object, streams)
    {
        if (rc == 0)
            rc = abandon_stream(host, object, err);
    }
    return rc < 0 ? error_wrap(err, "%s", host->config.resume) : 0;
}
