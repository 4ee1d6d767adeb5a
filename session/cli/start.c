/* See the header. The image is built here, not in the host: it is the user who watches. */
#include "session/cli/start.h"

#include <stdio.h>

#include "session/cli/progress.h"
#include "session/protocol/json.h"
#include "session/protocol/launch.h"

int start_session(struct client **out, uv_loop_t *loop, const struct session_config *config,
                  const struct client_events *events, client_done *done, void *context,
                  struct error *err)
{
    /* A snapshot names its image. */
    int rc = config->resume == NULL ? progress_ensure_image(config->image, err) : 0;
    if (rc < 0)
        return rc;
    int fd = launch_host(NULL, err);
    if (fd < 0)
        return fd;
    rc = client_open(out, loop, fd, events, context, err);
    if (rc < 0)
        return rc;
    cJSON *request = cJSON_CreateObject();
    cJSON_AddItemToObject(request, "session", session_config_json(config));
    client_request(*out, "start", request, done, context);
    return 0;
}

void start_notice(const char *verb, const cJSON *reply)
{
    const char *notice = json_string(reply, "notice");
    if (notice != NULL)
        fprintf(stderr,
                "vmdeck %s: note: emulating, which is slower, and QEMU promises isolation only "
                "with KVM: %s\n",
                verb, notice);
}
