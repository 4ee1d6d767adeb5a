#include "vm/image/libext2fs.h"

#include <stddef.h>

#include "base/late.h"

struct libext2fs libext2fs;

static const struct late_symbol symbols[] = {
    {"io_channel_write_blk64", offsetof(struct libext2fs, write_blk64)},
    {"unix_io_manager", offsetof(struct libext2fs, unix_io_manager)},
#define X(name) {"ext2fs_" #name, offsetof(struct libext2fs, name)},
    LIBEXT2FS_FUNCTIONS(X)
#undef X
};

static struct late_library library =
    LATE_LIBRARY("libext2fs.so.2", "libext2fs2", symbols, &libext2fs);

int libext2fs_load(struct error *err)
{
    int rc = late_load(&library, err);
    return rc < 0 ? error_wrap(err, "cannot write file systems") : 0;
}
