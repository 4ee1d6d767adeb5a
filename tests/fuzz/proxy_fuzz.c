/*
 * The guest's side of the proxy: bytes of a connection, cut into pieces of the first byte's size,
 * with a real server behind the one host that is allowed.
 */
#include "unit.h"

#include "net_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world world;

static void remove_home(void)
{
    (void)ca_home_remove(NULL);
}

static void open_world(void)
{
    struct strv internal = {0}, resolve = {0};
    (void)ca_home_make(NULL);
    atexit(remove_home);
    world_open_server(&world, NULL);
    world.server.answer = WORLD_OK;
    strv_add(&internal, "a.example");
    strv_add(&resolve, "a.example=127.0.0.1");
    struct net_secret secret = {
        .name = "KEY", .hosts = &internal, .value = (const uint8_t *)"0123456789", .size = 10};
    world_open_core(&world, (struct net_options){.internal = &internal,
                                                 .resolve = &resolve,
                                                 .allow = &internal,
                                                 .secrets = &secret,
                                                 .secret_count = 1});
    uv_timer_stop(&world.watchdog);
    strv_free(&internal);
    strv_free(&resolve);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peer peer;
    if (size < 2)
        return 0;
    if (world.core == NULL)
        open_world();
    peer_connect(&world, &peer, "93.184.216.34", world.server.port);
    if (peer.proxy != NULL)
        peer_send(&peer, data + 1, size - 1, (size_t)data[0] + 1);
    for (int i = 0; i < 4 && peer.proxy != NULL; i++)
        uv_run(world.core->loop, UV_RUN_NOWAIT);
    if (peer.proxy != NULL)
        proxy_eof(peer.proxy);
    peer_close(&peer);
    buf_consume(&world.server.seen, buf_len(&world.server.seen));
    cJSON_Delete(world.events);
    world.events = cJSON_CreateArray();
    return 0;
}
