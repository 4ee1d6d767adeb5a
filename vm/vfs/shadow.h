/*
 * Shadow rules: names of a mount that the guest must not see, or of which it has its own.
 *
 * A pattern is a path in the guest: components with `*`, `?` and `[…]`, and `**` for any number of
 * components. It means the path and everything below. A pattern that does not start with a slash
 * holds at any depth. "=tmpfs" behind it: private files in memory instead of hidden. Letters must
 * match in case, so a directory that folds case (ext4's casefold) is not protected by a rule.
 * Rules do not change once they are in use: any thread.
 */
#ifndef VMDECK_VM_VFS_SHADOW_H
#define VMDECK_VM_VFS_SHADOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "vm/vfs/hook.h"

#define SHADOW_RULES_MAX   256u
#define SHADOW_PATTERN_MAX 4096u
#define SHADOW_DEPTH_MAX   62u /* components of a pattern */

enum shadow { SHADOW_NONE, SHADOW_HIDDEN, SHADOW_PRIVATE };

struct shadows;

/* NULL patterns: *out is NULL, no rules. */
int shadows_open(struct shadows **out, const char *const *patterns, size_t count,
                 struct error *err);
void shadows_close(struct shadows *shadows);

/*
 * The rules as a hook. A hidden name is ENOENT, EACCES to who would make it; a rename that is not
 * shadows_may_move() is EXDEV: mv(1) copies then, and what is hidden stays where it is.
 */
struct hook shadows_hook(struct shadows *shadows);

/* What holds for a path in the guest (absolute, without "." or ".."). Hidden wins. */
enum shadow shadows_match(const struct shadows *shadows, const char *path);

/*
 * A directory may become `to`: everything that is shadowed below `from` would still be. Otherwise
 * a rename would be a way to uncover names.
 */
bool shadows_may_move(const struct shadows *shadows, const char *from, const char *to);

#endif
