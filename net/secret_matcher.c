/*
 * A bitmap of the needles' first two bytes passes over most of the data at about a byte a
 * nanosecond; what it lets through is compared with the needles that have the same first byte.
 * That is slow only if somebody chose a value like "aaaaaaaaaaaa" and somebody else sends it.
 *
 * Base64 of a value inside something longer depends on the value's offset there modulo 3. Of each
 * of the three encodings, the characters that neighbours have no part in are the needle. Other
 * forms (hexadecimal, compressed, reversed) are not found: this stops accidents and reflections,
 * not an upstream that conspires with the guest.
 *
 * All texts and the bitmap lie in one piece of locked memory.
 */
#include "net/secret_matcher.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/secret_memory.h"

#define BITMAP_SIZE 8192 /* 2^16 bits */

struct matcher {
    unsigned references;
    size_t size, used;      /* of memory */
    uint8_t *memory;        /* the bitmap, then the texts */
    struct needle *needles; /* by first byte, then longest first */
    size_t count, capacity;
    uint32_t first[257]; /* of each first byte, in needles */
};

/* Either appends to the memory, or while there is none only counts. */
struct writer {
    struct matcher *matcher;
    size_t start;
};

static void put(struct writer *writer, uint8_t byte)
{
    struct matcher *matcher = writer->matcher;
    if (matcher->memory != NULL)
        matcher->memory[matcher->used] = byte;
    matcher->used++;
}

/* Ends a needle. One that equals the source or the needle before it is dropped. */
static void end_needle(struct writer *writer, const struct needle_source *source, bool is_form)
{
    struct matcher *matcher = writer->matcher;
    size_t length = matcher->used - writer->start;
    const uint8_t *text = matcher->memory != NULL ? matcher->memory + writer->start : NULL;
    bool drop = length < 2;
    if (text != NULL && is_form)
        for (size_t i = matcher->count; i-- > 0 && !drop;) {
            const struct needle *other = &matcher->needles[i];
            if (other->secret != source->secret || other->kind != source->kind)
                break;
            drop = other->length == length &&
                   memcmp(matcher->memory + other->offset, text, length) == 0;
        }
    if (text == NULL) {
        matcher->capacity++;
    } else if (drop) {
        explicit_bzero(matcher->memory + writer->start, length);
        matcher->used = writer->start;
    } else {
        matcher->needles[matcher->count++] = (struct needle){.offset = (uint32_t)writer->start,
                                                             .length = (uint32_t)length,
                                                             .secret = source->secret,
                                                             .kind = (uint8_t)source->kind};
    }
    writer->start = matcher->used;
}

static void put_base64(struct writer *writer, const struct needle_source *source, unsigned offset,
                       const char last[2])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t bits = 8 * (source->length + offset), from = (8 * (size_t)offset + 5) / 6 * 6;
    for (size_t bit = from; bit + 6 <= bits; bit += 6) {
        unsigned value = 0;
        for (size_t i = bit; i < bit + 6; i++) {
            size_t at = i - 8 * (size_t)offset;
            value = value << 1 | ((unsigned)source->text[at / 8] >> (7 - at % 8) & 1);
        }
        put(writer, (uint8_t)(value < 62 ? digits[value] : last[value - 62]));
    }
    end_needle(writer, source, true);
}

static void put_percent(struct writer *writer, const struct needle_source *source,
                        const char *digits)
{
    for (size_t i = 0; i < source->length; i++) {
        uint8_t byte = source->text[i];
        if (byte < 0x80 && (isalnum(byte) || strchr("-._~", byte) != NULL)) {
            put(writer, byte);
        } else {
            put(writer, '%');
            put(writer, (uint8_t)digits[byte >> 4]);
            put(writer, (uint8_t)digits[byte & 15]);
        }
    }
    end_needle(writer, source, true);
}

static void put_json(struct writer *writer, const struct needle_source *source, const char *escaped)
{
    for (size_t i = 0; i < source->length; i++) {
        if (strchr(escaped, source->text[i]) != NULL)
            put(writer, '\\');
        put(writer, source->text[i]);
    }
    end_needle(writer, source, true);
}

static void put_source(struct writer *writer, const struct needle_source *source)
{
    for (size_t i = 0; i < source->length; i++)
        put(writer, source->text[i]);
    end_needle(writer, source, false);
    if (source->kind == NEEDLE_PLACEHOLDER)
        return;
    for (unsigned offset = 0; offset < 3; offset++) {
        put_base64(writer, source, offset, "+/");
        put_base64(writer, source, offset, "-_");
    }
    put_percent(writer, source, "0123456789ABCDEF");
    put_percent(writer, source, "0123456789abcdef");
    put_json(writer, source, "\"\\");
    put_json(writer, source, "\"\\/");
}

static int compare(const void *left, const void *right, void *context)
{
    const struct needle *a = left, *b = right;
    const struct matcher *matcher = context;
    int first = matcher->memory[a->offset] - matcher->memory[b->offset];
    if (first != 0)
        return first;
    return a->length < b->length ? 1 : a->length > b->length ? -1 : 0;
}

static void build_index(struct matcher *matcher)
{
    qsort_r(matcher->needles, matcher->count, sizeof matcher->needles[0], compare, matcher);
    for (size_t i = 0; i < matcher->count; i++) {
        const uint8_t *text = matcher->memory + matcher->needles[i].offset;
        unsigned pair = (unsigned)text[0] << 8 | text[1];
        matcher->memory[pair / 8] |= (uint8_t)(1u << pair % 8);
        matcher->first[text[0] + 1]++;
    }
    for (int i = 0; i < 256; i++)
        matcher->first[i + 1] += matcher->first[i];
}

struct matcher *matcher_new(const struct needle_source *sources, size_t count, struct error *err)
{
    struct matcher *matcher = calloc(1, sizeof *matcher);
    if (matcher == NULL) {
        error_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    matcher->references = 1;
    struct writer writer = {.matcher = matcher};
    for (size_t i = 0; i < count; i++)
        put_source(&writer, &sources[i]);
    matcher->size = BITMAP_SIZE + matcher->used;
    matcher->needles = calloc(matcher->capacity + 1, sizeof matcher->needles[0]);
    if (matcher->needles != NULL)
        matcher->memory = secret_memory_new(matcher->size, err);
    else
        error_set(err, ENOMEM, "out of memory");
    if (matcher->memory == NULL) {
        matcher_release(matcher);
        return NULL;
    }
    matcher->used = writer.start = BITMAP_SIZE;
    for (size_t i = 0; i < count; i++)
        put_source(&writer, &sources[i]);
    build_index(matcher);
    return matcher;
}

struct matcher *matcher_hold(struct matcher *matcher)
{
    matcher->references++;
    return matcher;
}

void matcher_release(struct matcher *matcher)
{
    if (matcher == NULL || --matcher->references > 0)
        return;
    secret_memory_free(matcher->memory, matcher->size);
    free(matcher->needles);
    free(matcher);
}

size_t matcher_next(const struct matcher *matcher, const uint8_t *data, size_t size, size_t at)
{
    for (; at + 1 < size; at++) {
        unsigned pair = (unsigned)data[at] << 8 | data[at + 1];
        if ((matcher->memory[pair / 8] >> pair % 8 & 1) != 0)
            return at;
    }
    if (at + 1 == size && matcher->first[data[at]] < matcher->first[data[at] + 1])
        return at;
    return size;
}

static const struct needle *find(const struct matcher *matcher, const uint8_t *data, size_t size,
                                 const struct needle *previous, bool begun)
{
    const struct needle *needle =
        previous != NULL ? previous + 1 : matcher->needles + matcher->first[data[0]];
    const struct needle *end = matcher->needles + matcher->first[data[0] + 1];
    for (; needle < end; needle++)
        if ((needle->length > size) == begun &&
            memcmp(matcher->memory + needle->offset, data, begun ? size : needle->length) == 0)
            return needle;
    return NULL;
}

const struct needle *matcher_at(const struct matcher *matcher, const uint8_t *data, size_t size,
                                const struct needle *previous)
{
    return find(matcher, data, size, previous, false);
}

const struct needle *matcher_begun(const struct matcher *matcher, const uint8_t *data, size_t size,
                                   const struct needle *previous)
{
    return find(matcher, data, size, previous, true);
}
