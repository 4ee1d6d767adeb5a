/* Numbers are fixed in size so that a file can be read on any machine; it is not compact. */
#include "vm/vfs/savefile.h"

#include <errno.h>
#include <stdlib.h>

#include "base/frame.h"

int save_u64(FILE *out, uint64_t value)
{
    uint8_t bytes[8];
    put_u64(bytes, value);
    return fwrite(bytes, sizeof bytes, 1, out) == 1 ? 0 : -EIO;
}

int load_u64(FILE *in, uint64_t *value, uint64_t max)
{
    uint8_t bytes[8];
    *value = 0;
    if (fread(bytes, sizeof bytes, 1, in) != 1 || get_u64(bytes) > max)
        return -EPROTO;
    *value = get_u64(bytes);
    return 0;
}

int save_bytes(FILE *out, const void *data, size_t size)
{
    int rc = save_u64(out, size);
    return rc < 0 ? rc : size == 0 || fwrite(data, size, 1, out) == 1 ? 0 : -EIO;
}

int load_bytes(FILE *in, char **data, size_t *size, size_t max)
{
    uint64_t length;
    *data = NULL;
    int rc = load_u64(in, &length, max);
    if (rc < 0)
        return rc;
    char *bytes = malloc(length + 1);
    if (bytes == NULL || (length > 0 && fread(bytes, length, 1, in) != 1)) {
        free(bytes);
        return -EPROTO;
    }
    bytes[length] = '\0';
    *data = bytes;
    *size = length;
    return 0;
}

int save_key(FILE *out, const struct vfs_key *key)
{
    int rc = save_u64(out, key->inode);
    rc = rc < 0 ? rc : save_u64(out, key->birth);
    return rc < 0 ? rc : save_u64(out, key->device);
}

int load_key(FILE *in, struct vfs_key *key)
{
    uint64_t device;
    *key = (struct vfs_key){0};
    int rc = load_u64(in, &key->inode, UINT64_MAX);
    rc = rc < 0 ? rc : load_u64(in, &key->birth, UINT64_MAX);
    rc = rc < 0 ? rc : load_u64(in, &device, UINT32_MAX);
    if (rc == 0)
        key->device = (uint32_t)device;
    return rc;
}
