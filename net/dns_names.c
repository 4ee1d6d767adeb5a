/*
 * Addresses are handed out in turn, so that one comes back only after more than 110,000 other
 * names: long after whoever cached the first name's answer has dropped it. Names are found by
 * tsearch(3), a balanced tree, whose speed no choice of names can spoil.
 */
#include "net/dns_names.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define BASE       ((uint32_t)198 << 24 | 18u << 16)
#define ADDRESSES  (1u << 17)
#define FIRST_HOST 1u /* 198.18.0.1: everybody's with DNS_MAPPING_SINGLE */

struct named {
    struct named *newer, *older;
    uint32_t offset;
    char name[];
};

struct dns_names {
    enum dns_mapping mapping;
    size_t count, max;
    void *tree;
    struct named *newest, *oldest;
    uint32_t next;
    struct named *by_offset[ADDRESSES];
};

struct dns_names *dns_names_new(enum dns_mapping mapping, size_t max)
{
    struct dns_names *names = calloc(1, sizeof *names);
    if (names == NULL)
        return NULL;
    names->mapping = mapping;
    names->max = max == 0 ? 1 : max < DNS_NAMES_MAX ? max : DNS_NAMES_MAX;
    names->next = FIRST_HOST;
    return names;
}

static int compare(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static void unlink_entry(struct dns_names *names, const struct named *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &names->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &names->oldest) = entry->newer;
}

static void link_newest(struct dns_names *names, struct named *entry)
{
    entry->newer = NULL;
    entry->older = names->newest;
    *(names->newest != NULL ? &names->newest->newer : &names->oldest) = entry;
    names->newest = entry;
}

static void forget(struct dns_names *names, struct named *entry)
{
    tdelete(entry, &names->tree, compare);
    unlink_entry(names, entry);
    names->by_offset[entry->offset] = NULL;
    names->count--;
    free(entry);
}

void dns_names_free(struct dns_names *names)
{
    if (names == NULL)
        return;
    while (names->oldest != NULL)
        forget(names, names->oldest);
    free(names);
}

/* Not .0 and .255, which some programs take for networks and broadcasts. */
static uint32_t free_offset(struct dns_names *names)
{
    uint32_t offset;
    do {
        offset = names->next;
        names->next = (names->next + 1) % ADDRESSES;
    } while (names->by_offset[offset] != NULL || offset % 256 == 0 || offset % 256 == 255);
    return offset;
}

/* The name's entry, made if it is new; NULL without memory. */
static struct named *remember(struct dns_names *names, const char *name)
{
    size_t length = strlen(name);
    struct named *entry = malloc(sizeof *entry + length + 1);
    if (entry == NULL)
        return NULL;
    memcpy(entry->name, name, length + 1);
    struct named **node = tsearch(entry, &names->tree, compare);
    if (node == NULL || *node != entry) {
        free(entry);
        return node != NULL ? *node : NULL;
    }
    entry->offset = free_offset(names);
    names->by_offset[entry->offset] = entry;
    link_newest(names, entry);
    names->count++;
    if (names->count > names->max)
        forget(names, names->oldest);
    return entry;
}

int dns_names_address(struct dns_names *names, const char *name, struct address *out)
{
    uint32_t offset = FIRST_HOST;
    if (names->mapping == DNS_MAPPING_PER_HOST) {
        struct named *entry = remember(names, name);
        if (entry == NULL)
            return -ENOMEM;
        unlink_entry(names, entry);
        link_newest(names, entry);
        offset = entry->offset;
    }
    uint32_t value = BASE + offset;
    *out = (struct address){0};
    for (int i = 0; i < 4; i++)
        out->bytes[i] = (uint8_t)(value >> (24 - 8 * i));
    return 0;
}

const char *dns_names_lookup(struct dns_names *names, const struct address *address)
{
    uint32_t value = 0;
    if (address->v6)
        return NULL;
    for (int i = 0; i < 4; i++)
        value = value << 8 | address->bytes[i];
    struct named *entry = value - BASE < ADDRESSES ? names->by_offset[value - BASE] : NULL;
    if (entry == NULL)
        return NULL;
    unlink_entry(names, entry);
    link_newest(names, entry);
    return entry->name;
}

static bool in_domain(const char *name, const char *domain)
{
    size_t length = strlen(name), suffix = strlen(domain);
    return length >= suffix && strcmp(name + length - suffix, domain) == 0 &&
           (length == suffix || name[length - suffix - 1] == '.');
}

static int find_address(struct dns_names *names, const struct dns_query *query, struct address *out,
                        bool *found)
{
    bool local = in_domain(query->name, "localhost");
    *found =
        query->type == DNS_A || query->type == DNS_TYPE_ANY || (local && query->type == DNS_AAAA);
    if (!*found)
        return 0;
    if (local)
        return address_parse(query->type == DNS_AAAA ? "::1" : "127.0.0.1", out);
    return dns_names_address(names, query->name, out);
}

size_t dns_names_reply(struct dns_names *names, const struct dns_query *query, int rcode,
                       uint8_t out[DNS_REPLY_MAX])
{
    struct address address;
    bool found = false;
    bool root = query->question_size == 5;
    if (rcode == DNS_NOERROR && query->class != DNS_CLASS_IN && query->class != DNS_TYPE_ANY)
        rcode = DNS_REFUSED;
    /* an address is no name, though it is a host */
    if (rcode == DNS_NOERROR && !root &&
        (query->name[0] == '\0' || in_domain(query->name, "arpa") ||
         address_parse(query->name, &address) == 0))
        rcode = DNS_NXDOMAIN;
    if (rcode == DNS_NOERROR && !root && find_address(names, query, &address, &found) < 0)
        rcode = DNS_SERVFAIL;
    return dns_reply(query, (enum dns_rcode)rcode, rcode == DNS_NOERROR && found ? &address : NULL,
                     DNS_NAMES_TTL, out);
}
