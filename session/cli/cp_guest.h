/*
 * The shell scripts that run in the guest. They get names as arguments only, never as text of a
 * script. What they say on stderr is for the user; a status above 1 is a failure,
 * explained by the first line, or by the last with CP_GUEST_SAID.
 */
#ifndef VMDECK_SESSION_CLI_CP_GUEST_H
#define VMDECK_SESSION_CLI_CP_GUEST_H

#define CP_GUEST_SAID 4

/*
 * Reads an archive of cp_pack() or, with KIND "bytes", chunks: a line with a number of bytes, not
 * 0, then those; "0" is the end. Arguments: destination, item's name ("." merges into the
 * destination), KIND "file", "directory" or "bytes".
 */
extern const char cp_guest_put[];

/* Writes an archive. Arguments: source, the directory it is in, its name there. */
extern const char cp_guest_get[];

/* Writes a file's bytes. Argument: source. */
extern const char cp_guest_cat[];

#endif
