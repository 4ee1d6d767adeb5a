/*
 * A session's configuration: what the command line (or the dashboard's form) says, and the host
 * carries out. It travels as the "session" object of the "start" request; one row of a table per
 * field says how. Strings are owned by the structure.
 */
#ifndef VMDECK_SESSION_PROTOCOL_CONFIG_H
#define VMDECK_SESSION_PROTOCOL_CONFIG_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "session/protocol/secrets.h"

#define CONFIG_CPUS_MAX   64
#define CONFIG_SPARES_MAX 16
#define CONFIG_MEMORY_MIN (128ull << 20) /* less, and the kernel does not even start */
#define CONFIG_MEMORY_MAX (1ull << 42)
#define CONFIG_DISK_MAX   (1ull << 42)
#define CONFIG_ASK_MAX    86400u       /* seconds */
#define CONFIG_POLICY_MAX (64u * 1024) /* bytes of --policy */

struct session_config {
    char *image;     /* selector; NULL: the default image */
    char *name;      /* NULL: none */
    char *accel;     /* auto, kvm, tcg; NULL: auto */
    char *resume;    /* path of the snapshot to start from; absolute; NULL: none */
    bool adopt;      /* and it is this session's alone: a fork's copy */
    char *command;   /* for the user's eye: what runs in it */
    uint64_t memory; /* bytes */
    uint64_t cpus;
    uint64_t rootfs_size; /* bytes; the disk is as large as this or the image, whichever is more */
    struct strv env;      /* NAME=VALUE for every command */
    struct strv argv;     /* of the main terminal; empty: a shell */
    char *cwd;            /* of the main terminal */
    struct strv mounts_hostfs; /* HOST:GUEST[:ro], HOST absolute; see mounts.h */
    struct strv mounts_memfs;  /* paths in the guest */
    struct strv shadows;       /* patterns; see vm/vfs/shadow.h */
    uint64_t rows, columns, scrollback;
    bool terminal;   /* start with a terminal, the main one */
    bool keep;       /* the session outlives its main terminal's command */
    uint64_t spares; /* how many of its kind are to wait for the next session */
    bool cold;       /* boot, whatever could be forked from */
    bool bound;      /* the session ends with the connection that started it */

    /* The network. Patterns and addresses as on the command line; net/ says what they mean. */
    struct strv allow, deny, internal;
    struct strv tcp_map, resolve, dns_servers;
    struct strv upstream_ca; /* absolute paths of PEM files */
    char *policy;            /* JSON text of --policy; NULL: none */
    char *dns;               /* synthetic, trusted, open; NULL: synthetic */
    uint64_t ask_seconds;    /* 0: the standard */
    bool ask, no_net, dns_single, no_websockets;
    /* Not a field: never in session_config_json(), and so in no registry and no snapshot. */
    struct session_secrets secrets;
};

/* 512 MiB, one CPU, a disk of 4 GiB. */
void session_config_init(struct session_config *config);
void session_config_free(struct session_config *config);
#define CLEAN_SESSION_CONFIG __attribute__((cleanup(session_config_free)))

cJSON *session_config_json(const struct session_config *config);

/* Only the fields of the network, as a snapshot keeps them. */
cJSON *session_config_network(const struct session_config *config);

/* Takes them out of a configuration's object. */
void session_config_remove_network(cJSON *json);

/* Those fields of the object that the configuration says nothing about itself. -EINVAL: which. */
int session_config_default(const cJSON *json, struct session_config *config, struct error *err);

/* Into an initialised config. -EINVAL names the member that is wrong or unknown. */
int session_config_parse(const cJSON *json, struct session_config *config, struct error *err);

#endif
