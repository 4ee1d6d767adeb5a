/*
 * The image's initramfs and the program's agent, one archive behind the other. The result is
 * named after both, so a new program or a new image makes a new file; old ones are cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/str.h"
#include "vm/image/image.h"
#include "vm/image/initramfs.h"

#define INITRAMFS_SIZE_MAX (512u << 20)

extern const char agent_blob[], agent_blob_end[];

static int agent_archive(struct buf *out)
{
    const struct cpio_entry entries[] = {
        {.name = "dev", .mode = S_IFDIR | 0755},
        {.name = "dev/console", .mode = S_IFCHR | 0600, .major = 5, .minor = 1},
        {.name = "proc", .mode = S_IFDIR | 0755},
        {.name = "sys", .mode = S_IFDIR | 0755},
        {.name = "newroot", .mode = S_IFDIR | 0755},
        {.name = "init",
         .mode = S_IFREG | 0755,
         .data = agent_blob,
         .size = (size_t)((uintptr_t)agent_blob_end - (uintptr_t)agent_blob)},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0] && rc == 0; i++)
        rc = cpio_add(out, &entries[i]);
    return rc < 0 ? rc : cpio_end(out);
}

static int initrd_name(const struct image *image, const struct buf *agent, char hex[HASH_HEX_SIZE],
                       struct error *err)
{
    struct hash *hash = hash_start();
    if (hash == NULL)
        return error_set(err, ENOMEM, "out of memory");
    hash_add(hash, image->id, sizeof image->id);
    hash_add(hash, buf_data(agent), buf_len(agent));
    hash_finish(hash, hex);
    return 0;
}

int image_initrd(const struct image *image, char **path, struct error *err)
{
    *path = NULL;
    CLEAN_BUF struct buf agent = {0};
    CLEAN_BUF struct buf text = {0};
    CLEAN_FREE char *directory = NULL;
    char hex[HASH_HEX_SIZE];
    if (agent_archive(&agent) < 0)
        return error_set(err, ENOMEM, "out of memory");
    int rc = initrd_name(image, &agent, hex, err);
    if (rc == 0)
        rc = path_xdg(PATH_CACHE, "initrd", &directory, err);
    if (rc == 0)
        rc = path_mkdirs(directory, 0700, err);
    CLEAN_FREE char *file = rc == 0 ? str_printf("%s/%.32s", directory, hex) : NULL;
    if (rc < 0 || file == NULL)
        return rc < 0 ? rc : error_set(err, ENOMEM, "out of memory");
    if (access(file, R_OK) < 0) {
        static const uint8_t zeroes[4];
        rc = path_read(image->initramfs, INITRAMFS_SIZE_MAX, &text, err);
        if (rc == 0 && (buf_append(&text, zeroes, -buf_len(&text) & 3) < 0 ||
                        buf_append(&text, buf_data(&agent), buf_len(&agent)) < 0))
            rc = error_set(err, ENOMEM, "out of memory");
        if (rc == 0)
            rc = path_write(file, 0444, buf_data(&text), buf_len(&text), err);
    }
    if (rc == 0)
        *path = take_ptr(file);
    return rc;
}
