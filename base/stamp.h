/*
 * What a file was when its content was verified, as a line of text to be compared later: reading
 * it again is only needed when the line has changed.
 */
#ifndef VMDECK_BASE_STAMP_H
#define VMDECK_BASE_STAMP_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/buf.h"

/*
 * Appends "inode size mtime ctime hash\n" (times in nanoseconds). mtime can be set back by
 * anyone, ctime cannot. 0 or -ENOMEM.
 */
int stamp_line(struct buf *out, const struct stat *st, const char *hash);

/*
 * Whether the file changed within the clock's granularity: another change could leave its ctime
 * as it is, so such a file must not be remembered.
 */
bool stamp_young(const struct stat *st);

#endif
