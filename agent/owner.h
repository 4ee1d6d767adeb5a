/* Which process has a TCP connection. Single-threaded. */
#ifndef VMDECK_AGENT_OWNER_H
#define VMDECK_AGENT_OWNER_H

#include <stdint.h>
#include <sys/types.h>

#include "agent/wire.h"

struct owner_socket {
    uint16_t local_port, remote_port;
    uint32_t remote_address; /* IPv4, in network order */
};

/*
 * The pid of a process that has the connection open, and its name (proc(5)'s comm); 0 and an empty
 * name where there is none any more, or in another network namespace.
 */
pid_t owner_find(const struct owner_socket *socket, char name[WIRE_NAME_MAX + 1]);

#endif
