/*
 * manifest.json, which describes an image:
 *
 *     {"schema": 1, "id": "<32 hex digits>", "arch": "x86_64", "name": "Debian 12",
 *      "kernel_version": "6.1.0-…", "created": "2024-01-31T12:00:00Z",
 *      "parts": {"kernel": {"file": "kernel", "size": 1, "sha256": "<64 hex digits>"},
 *                "initramfs": {…}, "rootfs": {…}}}
 *
 * The id is the first 32 digits of the SHA-256 over "schema 1\narch <arch>\nkernel <sha256>\n
 * initramfs <sha256>\nrootfs <sha256>\n".
 */
#ifndef VMDECK_VM_IMAGE_MANIFEST_H
#define VMDECK_VM_IMAGE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "vm/image/image.h"

#define MANIFEST_FILE     "manifest.json"
#define MANIFEST_SCHEMA   1
#define MANIFEST_SIZE_MAX (64u << 10)
#define MANIFEST_TEXT_MAX 128          /* of a string in it, with NUL */
#define MANIFEST_PART_MAX (1ull << 44) /* bytes: ext4's limit for a file of 4 KiB blocks */

enum manifest_parts { PART_KERNEL, PART_INITRAMFS, PART_ROOTFS, PART_COUNT };
extern const char *const manifest_part_names[PART_COUNT];

struct manifest_part {
    char file[MANIFEST_TEXT_MAX]; /* no '/', not starting with '.' */
    uint64_t size;
    char sha256[HASH_HEX_SIZE];
};

struct manifest {
    char id[IMAGE_ID_SIZE];
    char arch[MANIFEST_TEXT_MAX];
    char name[MANIFEST_TEXT_MAX];
    char kernel_version[MANIFEST_TEXT_MAX];
    char created[MANIFEST_TEXT_MAX];
    struct manifest_part parts[PART_COUNT];
};

/* Strict: all fields, in their ranges, and the id that follows from them. -EBADMSG otherwise. */
int manifest_parse(const char *text, size_t size, struct manifest *out, struct error *err);

/* Reads and parses directory/manifest.json. */
int manifest_read(const char *directory, struct manifest *out, struct error *err);

/* Computes the id from the parts and gives the text, which the caller frees. */
int manifest_write(struct manifest *manifest, char **text, struct error *err);

#endif
