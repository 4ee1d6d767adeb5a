/*
 * From an entry to an inode: owner, times, devices, symlinks, attributes, links; and at the end
 * the directories from the tree.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "vm/image/ext4_internal.h"

#define EXTRA_ISIZE 32
#define TAIL_SIZE   ((unsigned)sizeof(struct ext2_dir_entry_tail))

int ext4_write_inode(struct ext4 *ext4, uint32_t ino, struct ext2_inode_large *inode,
                     struct error *err)
{
    errcode_t rc =
        libext2fs.write_inode_full(ext4->fs, ino, (struct ext2_inode *)inode, (int)sizeof *inode);
    return ext4_error(rc, "cannot write an inode", err);
}

static int inode_read(struct ext4 *ext4, uint32_t ino, struct ext2_inode_large *inode,
                      struct error *err)
{
    errcode_t rc =
        libext2fs.read_inode_full(ext4->fs, ino, (struct ext2_inode *)inode, (int)sizeof *inode);
    return ext4_error(rc, "cannot read an inode", err);
}

static void inode_fill(struct ext2_inode_large *inode, const struct ext4_entry *entry)
{
    *inode = (struct ext2_inode_large){0};
    inode->i_mode = (__u16)entry->mode;
    inode->i_uid = (__u16)entry->uid;
    inode->i_gid = (__u16)entry->gid;
    inode->i_uid_high = (__u16)(entry->uid >> 16);
    inode->i_gid_high = (__u16)(entry->gid >> 16);
    inode->i_links_count = 1;
    inode->i_extra_isize = EXTRA_ISIZE;
    /* 34 bits of seconds, the upper two counted from the sign extension of the lower 32 */
    __u32 seconds = (__u32)entry->mtime;
    __u32 epoch = (__u32)((entry->mtime - (int32_t)seconds) >> 32) & 3;
    __u32 extra = entry->mtime_ns << 2 | epoch;
    inode->i_mtime = inode->i_atime = inode->i_ctime = inode->i_crtime = seconds;
    inode->i_mtime_extra = inode->i_atime_extra = extra;
    inode->i_ctime_extra = inode->i_crtime_extra = extra;
    if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode)) {
        if (entry->major < 256 && entry->minor < 256)
            inode->i_block[0] = entry->major << 8 | entry->minor;
        else
            inode->i_block[1] = (entry->minor & 0xff) | (entry->major & 0xfff) << 8 |
                                (entry->minor & 0xfff00) << 12;
    }
}

static int inode_attributes(struct ext4 *ext4, uint32_t ino, const struct ext4_entry *entry,
                            struct error *err)
{
    if (entry->xattr_count == 0)
        return 0;
    struct ext2_xattr_handle *handle;
    errcode_t rc = libext2fs.xattrs_open(ext4->fs, ino, &handle);
    if (rc != 0)
        return ext4_error(rc, "cannot open the attributes", err);
    for (size_t i = 0; i < entry->xattr_count && rc == 0; i++)
        rc = libext2fs.xattr_set(handle, entry->xattrs[i].name, entry->xattrs[i].value,
                                 entry->xattrs[i].size);
    errcode_t closed = libext2fs.xattrs_close(&handle);
    return ext4_error(rc != 0 ? rc : closed, "cannot write the attributes", err);
}

/* Memory as the source of a file's data. */
struct memory {
    const void *data;
    size_t size;
};

static int memory_read(void *context, const void **data, size_t *size, uint64_t *offset,
                       struct error *err)
{
    (void)err;
    struct memory *memory = context;
    *data = memory->data;
    *size = memory->size;
    *offset = 0;
    memory->size = 0;
    return *size > 0;
}

static int inode_content(struct ext4 *ext4, uint32_t ino, struct ext2_inode_large *inode,
                         const struct ext4_entry *entry, struct error *err)
{
    struct memory target = {entry->target, entry->target != NULL ? strlen(entry->target) : 0};
    switch (entry->mode & S_IFMT) {
    case S_IFREG:
        libext2fs.inode_size_set(ext4->fs, (struct ext2_inode *)inode, (ext2_off64_t)entry->size);
        return ext4_data(ext4, ino, inode, entry->size > 0 ? entry->read : NULL, entry->context,
                         err);
    case S_IFLNK:
        if (target.size == 0 || target.size >= EXT4_BLOCK)
            return error_set(err, ENAMETOOLONG, "the symlink's target is empty or too long");
        inode->i_size = (__u32)target.size;
        if (target.size >= sizeof inode->i_block)
            return ext4_data(ext4, ino, inode, memory_read, &target, err);
        memcpy(inode->i_block, entry->target, target.size);
        return ext4_write_inode(ext4, ino, inode, err);
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFDIR:
        return ext4_write_inode(ext4, ino, inode, err);
    default:
        return error_set(err, EINVAL, "it is of no known type");
    }
}

/* One link less; the last one frees blocks and inode. The number is not used again. */
static int inode_drop(struct ext4 *ext4, uint32_t ino, struct error *err)
{
    struct ext2_inode_large inode = {0};
    int rc = inode_read(ext4, ino, &inode, err);
    if (rc < 0)
        return rc;
    if (!S_ISDIR(inode.i_mode) && --inode.i_links_count > 0)
        return ext4_write_inode(ext4, ino, &inode, err);
    errcode_t freed = libext2fs.free_ext_attr(ext4->fs, ino, &inode);
    if (freed == 0 && libext2fs.inode_has_valid_blocks2(ext4->fs, (struct ext2_inode *)&inode) &&
        (inode.i_flags & EXT4_EXTENTS_FL) != 0)
        freed = libext2fs.punch(ext4->fs, ino, (struct ext2_inode *)&inode, NULL, 0, ~0ull);
    if (freed != 0)
        return ext4_error(freed, "cannot free what was replaced", err);
    libext2fs.inode_alloc_stats2(ext4->fs, ino, -1, S_ISDIR(inode.i_mode));
    inode.i_links_count = 0;
    inode.i_dtime = (__u32)time(NULL);
    return ext4_write_inode(ext4, ino, &inode, err);
}

static int node_number(struct ext4 *ext4, struct node *node, int directory, struct error *err)
{
    if (node == ext4->tree.nodes[0]) {
        node->ino = EXT2_ROOT_INO;
        return 0;
    }
    if (ext4->next_ino >= ext4->fs->super->s_inodes_count)
        return error_set(err, ENOSPC, "there are more files than were measured");
    node->ino = ext4->next_ino++;
    libext2fs.inode_alloc_stats2(ext4->fs, node->ino, +1, directory);
    return 0;
}

/* Makes way for a new inode under this name; a directory that stays one keeps its number. */
static int node_replace(struct ext4 *ext4, struct node *node, mode_t type, struct error *err)
{
    if (node->type == S_IFDIR && type == S_IFDIR)
        return 0;
    if (node->type == S_IFDIR && (node->first != NULL || node->parent == node))
        return error_set(err, ENOTEMPTY, "a directory with files in it is there already");
    int rc = node->ino != 0 ? inode_drop(ext4, node->ino, err) : 0;
    free(node->target);
    node->target = NULL;
    node->ino = 0;
    return rc;
}

static int add_link(struct ext4 *ext4, const struct ext4_entry *entry, struct node *node,
                    struct error *err)
{
    struct node *target;
    int rc = tree_find(&ext4->tree, entry->link, 0, &target, err);
    if (rc < 0)
        return error_wrap(err, "it is a hard link to '%s'", entry->link);
    if (target == node)
        return 0;
    if (target->ino == 0 || target->type == S_IFDIR)
        return error_set(err, EPERM, "it is a hard link to '%s', which is no file", entry->link);
    rc = node_replace(ext4, node, target->type, err);
    struct ext2_inode_large inode = {0};
    if (rc == 0)
        rc = inode_read(ext4, target->ino, &inode, err);
    if (rc < 0)
        return rc;
    if (inode.i_links_count >= EXT4_LINK_MAX)
        return error_set(err, EMLINK, "it has more than %u hard links", EXT4_LINK_MAX);
    inode.i_links_count++;
    node->type = target->type;
    node->ino = target->ino;
    node->target = target->target != NULL ? strdup(target->target) : NULL;
    if (target->target != NULL && node->target == NULL)
        return error_set(err, ENOMEM, "out of memory");
    return ext4_write_inode(ext4, node->ino, &inode, err);
}

static int add_inode(struct ext4 *ext4, const struct ext4_entry *entry, struct node *node,
                     struct error *err)
{
    mode_t type = entry->mode & S_IFMT;
    int rc = node_replace(ext4, node, type, err);
    if (rc == 0 && node->ino == 0)
        rc = node_number(ext4, node, type == S_IFDIR, err);
    if (rc < 0)
        return rc;
    node->type = type;
    if (type == S_IFLNK &&
        (node->target = strdup(entry->target != NULL ? entry->target : "")) == NULL)
        return error_set(err, ENOMEM, "out of memory");
    struct ext2_inode_large inode = {0};
    inode_fill(&inode, entry);
    rc = inode_content(ext4, node->ino, &inode, entry, err);
    return rc < 0 ? rc : inode_attributes(ext4, node->ino, entry, err);
}

int ext4_add(struct ext4 *ext4, const struct ext4_entry *entry, struct error *err)
{
    struct node *node;
    int rc = tree_find(&ext4->tree, entry->path, 1, &node, err);
    if (rc == 0)
        rc = entry->link != NULL ? add_link(ext4, entry, node, err)
                                 : add_inode(ext4, entry, node, err);
    return rc < 0 ? error_wrap(err, "'%.200s'", entry->path) : 0;
}

static uint8_t dirent_type(mode_t type)
{
    static const uint8_t types[] = {
        [S_IFREG >> 12] = EXT2_FT_REG_FILE, [S_IFDIR >> 12] = EXT2_FT_DIR,
        [S_IFLNK >> 12] = EXT2_FT_SYMLINK,  [S_IFCHR >> 12] = EXT2_FT_CHRDEV,
        [S_IFBLK >> 12] = EXT2_FT_BLKDEV,   [S_IFIFO >> 12] = EXT2_FT_FIFO,
        [S_IFSOCK >> 12] = EXT2_FT_SOCK,
    };
    return types[type >> 12];
}

/* A directory's blocks, made one at a time. */
struct listing {
    ext2_filsys fs;
    const struct node *node;
    const struct node *next; /* child that comes next */
    int dots;                /* "." and ".." that were put */
    uint64_t offset;
    uint8_t block[EXT4_BLOCK];
};

static struct ext2_dir_entry *dirent_put(struct listing *list, size_t *at, const struct node *node,
                                         const char *name, size_t length)
{
    size_t size = EXT2_DIR_REC_LEN((__u8)length);
    if (size > EXT4_BLOCK - TAIL_SIZE - *at)
        return NULL;
    struct ext2_dir_entry *entry = (void *)(list->block + *at);
    entry->inode = node->ino;
    entry->rec_len = (__u16)size;
    ext2fs_dirent_set_name_len(entry, (int)length);
    ext2fs_dirent_set_file_type(entry, dirent_type(node->type));
    memcpy(entry->name, name, length);
    *at += size;
    return entry;
}

static int listing_read(void *context, const void **data, size_t *size, uint64_t *offset,
                        struct error *err)
{
    (void)err;
    struct listing *list = context;
    if (list->dots == 2 && list->next == NULL)
        return 0;
    memset(list->block, 0, sizeof list->block);
    size_t at = 0;
    struct ext2_dir_entry *last = NULL;
    for (; list->dots < 2; list->dots++)
        last = dirent_put(list, &at, list->dots == 0 ? list->node : list->node->parent, "..",
                          (size_t)list->dots + 1);
    for (; list->next != NULL; list->next = list->next->sibling) {
        if (list->next->ino == 0)
            continue;
        struct ext2_dir_entry *entry =
            dirent_put(list, &at, list->next, list->next->name, list->next->length);
        if (entry == NULL)
            break;
        last = entry;
    }
    if (last != NULL) /* the last entry reaches to the checksum */
        last->rec_len = (__u16)(last->rec_len + EXT4_BLOCK - TAIL_SIZE - at);
    libext2fs.initialize_dirent_tail(list->fs, EXT2_DIRENT_TAIL(list->block, EXT4_BLOCK));
    *data = list->block;
    *size = EXT4_BLOCK;
    *offset = list->offset;
    list->offset += EXT4_BLOCK;
    return 1;
}

static int directory_write(struct ext4 *ext4, const struct node *node, struct error *err)
{
    struct ext2_inode_large inode = {0};
    int rc = inode_read(ext4, node->ino, &inode, err);
    if (rc < 0)
        return rc;
    CLEAN_FREE struct listing *list = calloc(1, sizeof *list);
    if (list == NULL)
        return error_set(err, ENOMEM, "out of memory");
    *list = (struct listing){.fs = ext4->fs, .node = node, .next = node->first};
    libext2fs.inode_size_set(ext4->fs, (struct ext2_inode *)&inode,
                             INT32_MAX); /* until it is known */
    /* dir_nlink: 1 where the number does not fit */
    uint32_t links = 2 + node->directories;
    inode.i_links_count = (__u16)(links > EXT4_LINK_MAX ? 1 : links);
    rc = ext4_data(ext4, node->ino, &inode, listing_read, list, err);
    if (rc < 0)
        return rc;
    libext2fs.inode_size_set(ext4->fs, (struct ext2_inode *)&inode, (ext2_off64_t)list->offset);
    return ext4_write_inode(ext4, node->ino, &inode, err);
}

int ext4_directories(struct ext4 *ext4, struct error *err)
{
    const struct ext4_entry missing = {.mode = S_IFDIR | 0755, .mtime = time(NULL)};
    int rc = 0;
    for (size_t i = 0; i < ext4->tree.count && rc == 0; i++) {
        struct node *node = ext4->tree.nodes[i];
        if (node->type != S_IFDIR)
            continue;
        if (node->ino == 0)
            rc = add_inode(ext4, &missing, node, err);
        if (node->parent != node)
            node->parent->directories++;
    }
    for (size_t i = 0; i < ext4->tree.count && rc == 0; i++)
        if (ext4->tree.nodes[i]->type == S_IFDIR)
            rc = directory_write(ext4, ext4->tree.nodes[i], err);
    return rc;
}
