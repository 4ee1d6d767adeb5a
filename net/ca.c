/*
 * EC P-256 throughout: quick to make and to sign with, and every guest knows it. All leaves of a
 * process share one key: who has one of them has the process, and a new key for each would double
 * the time of a first handshake.
 *
 * A leaf covers exactly one name, so that no client may reuse a connection for another host (as
 * HTTP/2 does). It is at most 397 days old, as browsers want it, starts a day back for guests with
 * a late clock, and ends with the authority at the latest. SKI and AKI are there because Python's
 * strict mode wants them.
 *
 * The files are made and read under a lock, so that two first sessions make one authority. A
 * process keeps the authority it opened: guests that run already trust that one.
 */
#include "net/ca_mbedtls.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/pem.h>
#include <mbedtls/version.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "net/ca_sign.h"

#define DAY          86400
#define CA_DAYS      3650
#define CA_MARGIN    (30 * DAY) /* made anew this long before its end */
#define LEAF_DAYS    396        /* and the day before: 397 */
#define LEAF_RENEW   (30 * DAY)
#define FILE_MAX     16384
#define PEM_MAX      4096
#define NAME_MAX_CN  64 /* ub-common-name */
#define SUBJECT_SIZE 128

struct ca_leaf {
    TAILQ_ENTRY(ca_leaf) order;
    unsigned references; /* one is the cache's */
    time_t renew;
    mbedtls_x509_crt certificate;
    char host[CA_HOST_MAX + 1];
};

TAILQ_HEAD(leaves, ca_leaf);

struct ca {
    mbedtls_pk_context key, leaf_key;
    mbedtls_x509_crt certificate;
    time_t from, until;
    char subject[SUBJECT_SIZE]; /* as mbedTLS spells it */
    struct buf pem;
    struct leaves leaves; /* used last comes first */
    size_t leaf_count;
};

static time_t as_time(const mbedtls_x509_time *time)
{
    struct tm tm = {.tm_year = time->year - 1900,
                    .tm_mon = time->mon - 1,
                    .tm_mday = time->day,
                    .tm_hour = time->hour,
                    .tm_min = time->min,
                    .tm_sec = time->sec};
    return timegm(&tm);
}

/* Is it a private key's file as we make it? */
static bool is_private(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_mode & 077) == 0;
}

/* 1 when it was read, 0 when there is nothing that could be used. */
static int read_file(const char *path, struct buf *out, struct error *err)
{
    int rc = path_read(path, FILE_MAX, out, err);
    if (rc == -ENOENT || rc == -EFBIG)
        return 0;
    if (rc == 0 && buf_string(out) == NULL)
        return error_set(err, ENOMEM, "out of memory");
    return rc < 0 ? rc : 1;
}

static int parse_key(mbedtls_pk_context *key, struct buf *pem)
{
    const unsigned char *text = (const unsigned char *)buf_string(pem);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    return mbedtls_pk_parse_key(key, text, buf_len(pem) + 1, NULL, 0, ca_random, NULL);
#else
    return mbedtls_pk_parse_key(key, text, buf_len(pem) + 1, NULL, 0);
#endif
}

static bool is_pair(const mbedtls_pk_context *public_key, const mbedtls_pk_context *key)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    return mbedtls_pk_check_pair(public_key, key, ca_random, NULL) == 0;
#else
    return mbedtls_pk_check_pair(public_key, key) == 0;
#endif
}

static void reset(struct ca *ca)
{
    mbedtls_pk_free(&ca->key);
    mbedtls_pk_init(&ca->key);
    mbedtls_x509_crt_free(&ca->certificate);
    mbedtls_x509_crt_init(&ca->certificate);
    buf_free(&ca->pem);
}

/* 1 when what lies there is a usable authority, 0 when one must be made. */
static int load(struct ca *ca, const char *key_path, const char *crt_path, struct error *err)
{
    struct buf key = {0};
    int rc = is_private(key_path) ? read_file(key_path, &key, err) : 0;
    if (rc == 1)
        rc = read_file(crt_path, &ca->pem, err);
    if (rc == 1) {
        time_t now = time(NULL);
        const unsigned char *pem = (const unsigned char *)buf_string(&ca->pem);
        bool good = parse_key(&ca->key, &key) == 0 &&
                    mbedtls_x509_crt_parse(&ca->certificate, pem, buf_len(&ca->pem) + 1) == 0 &&
                    mbedtls_pk_can_do(&ca->key, MBEDTLS_PK_ECKEY) &&
                    is_pair(&ca->certificate.pk, &ca->key) &&
                    as_time(&ca->certificate.valid_from) <= now &&
                    as_time(&ca->certificate.valid_to) > now + CA_MARGIN;
        rc = good;
    }
    if (buf_len(&key) > 0)
        explicit_bzero(buf_data(&key), buf_len(&key));
    buf_free(&key);
    return rc;
}

/* "vmdeck CA on <host>": what a user finds in a trust store. */
static void own_subject(char subject[SUBJECT_SIZE])
{
    char host[NAME_MAX_CN - sizeof "vmdeck CA on " + 2] = "";
    (void)gethostname(host, sizeof host - 1);
    for (char *at = host; *at != '\0'; at++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", *at) == NULL)
            *at = '-';
    snprintf(subject, SUBJECT_SIZE, "O=vmdeck,CN=vmdeck CA on %s", host);
}

static int write_files(struct ca *ca, const char *key_path, const char *crt_path, struct error *err)
{
    unsigned char pem[PEM_MAX];
    int rc = mbedtls_pk_write_key_pem(&ca->key, pem, sizeof pem);
    if (rc != 0)
        return ca_error(err, EIO, "cannot encode the key of the certificate authority", rc);
    rc = path_write(key_path, 0600, pem, strlen((char *)pem), err);
    explicit_bzero(pem, sizeof pem);
    if (rc < 0)
        return rc;
    size_t size = 0;
    rc = mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n",
                                  ca->certificate.raw.p, ca->certificate.raw.len, pem, sizeof pem,
                                  &size);
    if (rc != 0)
        return ca_error(err, EIO, "cannot encode the authority's certificate", rc);
    rc = path_write(crt_path, 0644, pem, size - 1, err);
    if (rc == 0 && buf_append(&ca->pem, pem, size - 1) < 0)
        rc = error_set(err, ENOMEM, "out of memory");
    return rc;
}

static int generate(struct ca *ca, const char *key_path, const char *crt_path, struct error *err)
{
    char subject[SUBJECT_SIZE];
    own_subject(subject);
    reset(ca);
    time_t now = time(NULL);
    int rc = ca_make_key(&ca->key);
    const struct ca_request request = {.key = &ca->key,
                                       .issuer_key = &ca->key,
                                       .subject = subject,
                                       .issuer = subject,
                                       .from = now - DAY,
                                       .until = now + (time_t)CA_DAYS * DAY};
    if (rc == 0)
        rc = ca_sign(&request, &ca->certificate);
    if (rc != 0)
        return ca_error(err, EIO, "cannot make a certificate authority", rc);
    return write_files(ca, key_path, crt_path, err);
}

static int open_files(struct ca *ca, struct error *err)
{
    CLEAN_FREE char *directory = NULL;
    CLEAN_FD int lock = -1;
    int rc = path_xdg(PATH_DATA, "ca", &directory, err);
    if (rc == 0)
        rc = path_mkdirs(directory, 0700, err);
    CLEAN_FREE char *lock_path = rc == 0 ? str_printf("%s/lock", directory) : NULL;
    if (rc == 0)
        rc = lock_path != NULL ? path_lock(lock_path, &lock, err) : -ENOMEM;
    if (rc < 0)
        return rc;
    CLEAN_FREE char *key_path = str_printf("%s/ca.key", directory);
    CLEAN_FREE char *crt_path = str_printf("%s/ca.crt", directory);
    if (key_path == NULL || crt_path == NULL)
        return error_set(err, ENOMEM, "out of memory");
    rc = load(ca, key_path, crt_path, err);
    return rc == 0 ? generate(ca, key_path, crt_path, err) : rc;
}

int ca_open(struct ca **out, struct error *err)
{
    CLEAN_CA struct ca *ca = calloc(1, sizeof *ca);
    if (ca == NULL)
        return error_set(err, ENOMEM, "out of memory");
    TAILQ_INIT(&ca->leaves);
    mbedtls_pk_init(&ca->leaf_key);
    reset(ca);
    int rc = open_files(ca, err);
    if (rc < 0)
        return error_wrap(err, "cannot open the certificate authority");
    if (buf_string(&ca->pem) == NULL)
        return error_set(err, ENOMEM, "out of memory");
    ca->from = as_time(&ca->certificate.valid_from);
    ca->until = as_time(&ca->certificate.valid_to);
    rc = ca_make_key(&ca->leaf_key);
    if (rc == 0)
        rc = mbedtls_x509_dn_gets(ca->subject, sizeof ca->subject, &ca->certificate.subject);
    if (rc < 0)
        return ca_error(err, EIO, "cannot use the certificate authority", rc);
    *out = take_ptr(ca);
    return 0;
}

int ca_read(char **pem, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    CLEAN_BUF struct buf text = {0};
    int rc = path_xdg(PATH_DATA, "ca/ca.crt", &path, err);
    if (rc == 0)
        rc = read_file(path, &text, err);
    if (rc < 0)
        return error_wrap(err, "cannot read the certificate authority");
    if (rc == 0 || buf_len(&text) == 0) {
        CLEAN_CA struct ca *ca = NULL;
        rc = ca_open(&ca, err);
        if (rc < 0)
            return rc;
        *pem = strdup(ca_certificate(ca));
    } else {
        *pem = strdup(buf_string(&text));
    }
    return *pem != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

const char *ca_certificate(const struct ca *ca)
{
    return (const char *)buf_data(&ca->pem);
}

mbedtls_pk_context *ca_leaf_key(struct ca *ca)
{
    return &ca->leaf_key;
}

mbedtls_x509_crt *ca_leaf_certificate(struct ca_leaf *leaf)
{
    return &leaf->certificate;
}

void ca_leaf_put(struct ca_leaf *leaf)
{
    if (leaf == NULL || --leaf->references > 0)
        return;
    mbedtls_x509_crt_free(&leaf->certificate);
    free(leaf);
}

static void forget(struct ca *ca, struct ca_leaf *leaf)
{
    TAILQ_REMOVE(&ca->leaves, leaf, order);
    ca->leaf_count--;
    ca_leaf_put(leaf);
}

void ca_close(struct ca *ca)
{
    if (ca == NULL)
        return;
    while (!TAILQ_EMPTY(&ca->leaves))
        forget(ca, TAILQ_FIRST(&ca->leaves));
    reset(ca);
    mbedtls_pk_free(&ca->leaf_key);
    free(ca);
}

static struct ca_leaf *find(struct ca *ca, const char *host, time_t now)
{
    struct ca_leaf *leaf = TAILQ_FIRST(&ca->leaves);
    while (leaf != NULL && strcmp(leaf->host, host) != 0)
        leaf = TAILQ_NEXT(leaf, order);
    if (leaf != NULL && leaf->renew <= now) {
        forget(ca, leaf);
        return NULL;
    }
    return leaf;
}

static int issue(struct ca *ca, const char *host, time_t now, struct ca_leaf *leaf,
                 struct error *err)
{
    char subject[SUBJECT_SIZE];
    snprintf(subject, sizeof subject, "CN=%s", strlen(host) <= NAME_MAX_CN ? host : "vmdeck");
    const struct ca_request request = {
        .key = &ca->leaf_key,
        .issuer_key = &ca->key,
        .subject = subject,
        .issuer = ca->subject,
        .from = now - DAY > ca->from ? now - DAY : ca->from,
        .until = now + LEAF_DAYS * DAY < ca->until ? now + LEAF_DAYS * DAY : ca->until,
        .host = host,
    };
    int rc = ca_sign(&request, &leaf->certificate);
    if (rc != 0)
        return ca_error(err, EIO, "cannot make a certificate", rc);
    leaf->renew = request.until - LEAF_RENEW;
    memcpy(leaf->host, host, strlen(host) + 1);
    return 0;
}

int ca_leaf_get(struct ca *ca, const char *host, struct ca_leaf **out, struct error *err)
{
    time_t now = time(NULL);
    struct ca_leaf *leaf = find(ca, host, now);
    if (leaf != NULL) {
        TAILQ_REMOVE(&ca->leaves, leaf, order);
    } else {
        if (strlen(host) > CA_HOST_MAX)
            return error_set(err, EINVAL, "no certificate for a name of more than 253 characters");
        leaf = calloc(1, sizeof *leaf);
        if (leaf == NULL)
            return error_set(err, ENOMEM, "out of memory");
        leaf->references = 1;
        mbedtls_x509_crt_init(&leaf->certificate);
        int rc = issue(ca, host, now, leaf, err);
        if (rc < 0) {
            ca_leaf_put(leaf);
            return rc;
        }
        if (ca->leaf_count == CA_LEAVES_MAX)
            forget(ca, TAILQ_LAST(&ca->leaves, leaves));
        ca->leaf_count++;
    }
    TAILQ_INSERT_HEAD(&ca->leaves, leaf, order);
    leaf->references++;
    *out = leaf;
    return 0;
}
