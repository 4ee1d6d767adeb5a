/*
 * The relay between /dev/fuse and the host's file server (vm/vfs/relay.h), a process of its own:
 * PID 1 has to go on whatever happens to a file system.
 */
#ifndef VMDECK_AGENT_RELAY_H
#define VMDECK_AGENT_RELAY_H

/*
 * Serves the port (taken over, blocking) for as long as the VM lives. Starts threads, and a process
 * that ends the connections when this one is killed: `alive` is open until both are gone.
 */
_Noreturn void relay_run(int port, int alive);

#endif
