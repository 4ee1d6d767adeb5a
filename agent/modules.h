/*
 * Kernel modules from the initramfs. /vmdeck/modules names them in the order of their
 * dependencies, one a line: "boot PATH" for those that the root file system and the port need,
 * "late PATH" for those that a first command can do without.
 */
#ifndef VMDECK_AGENT_MODULES_H
#define VMDECK_AGENT_MODULES_H

#define MODULES_LIST "vmdeck/modules"

/*
 * Loads the modules of one kind ("boot", "late"). `root` is a descriptor of the initramfs's root.
 * Each failure is a line on the console. 0, or the last failure's -errno; a missing list is a
 * kernel that needs none.
 */
int modules_load(int root, const char *kind);

#endif
