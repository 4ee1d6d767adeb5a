/* What the snapshot file's writer, reader and verifier share. */
#ifndef VMDECK_VM_SNAPFILE_INTERNAL_H
#define VMDECK_VM_SNAPFILE_INTERNAL_H

#include <stdbool.h>

#include "base/hash.h"
#include "vm/snapfile.h"

/* The trailer, the last bytes of the file; numbers are little-endian, the rest is zeros. */
#define TRAILER_MAGIC   "vmdeck-snapshot\n"
#define TRAILER_VERSION 1
enum {
    T_VERSION = 16,  /* u32 */
    T_MANIFEST = 24, /* u64 offset, u64 length */
    T_SHA256 = 40,   /* of the manifest, 32 bytes */
    TRAILER_SIZE = 96
};

struct section {
    char name[SNAPFILE_NAME_MAX + 1];
    uint64_t offset;
    uint64_t length;
    char sha256[HASH_HEX_SIZE];
};

struct sections {
    struct section rows[SNAPFILE_SECTIONS_MAX];
    size_t count;
};

struct snapfile {
    char *path;
    int fd;
    cJSON *manifest;
    char sha256[HASH_HEX_SIZE]; /* of the manifest */
    struct sections sections;
};

/* The trailer for a manifest of `length` bytes at `offset`. */
void trailer_make(uint8_t trailer[TRAILER_SIZE], uint64_t offset, uint64_t length,
                  const char manifest_sha256[HASH_HEX_SIZE]);

bool section_name_valid(const char *name);
const struct section *section_find(const struct sections *sections, const char *name);

/* Notes the file as verified, or forgets it. Failures only cost time later. */
void verified_note(int fd, const char *manifest_sha256);
void verified_forget(int fd);

#endif
