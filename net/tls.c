/*
 * mbedTLS reads from `in` and writes to `out`; its own buffers hold one record each. A call of ours
 * is one of its, so it never has more than a record in hand.
 *
 * Speed: suites and groups are listed in the order of what is quick; mbedTLS's own order begins
 * with P-521. ChaCha20 is a third faster in mbedTLS 2.28 than AES-128-GCM (270 to 200 MiB/s), and
 * in an emulated guest three times in OpenSSL (115 to 40 MiB/s, without SSSE3: session/host says
 * so to it), the same in GnuTLS. A full handshake costs about 4 ms of CPU as server, 8 as client;
 * guests resume sessions by tickets (0.2 ms), whose keys live as long as the context.
 *
 * mbedTLS 2.28 knows neither TLS 1.3 nor addresses in certificates nor a ClientHello that is cut
 * into several records. The second is made up for here, the last fails as a protocol error.
 */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/version.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "net/ca_mbedtls.h"

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#else
#define MBEDTLS_PRIVATE(member) member
#endif

#define OUT_HARD_MAX   (TLS_OUT_MAX + 40000) /* a record more, and alerts */
#define ROOTS_MAX      (8u << 20)
#define TICKET_SECONDS 86400
#define HOST_MAX       253

struct tls_context {
    mbedtls_ssl_config server, client;
    mbedtls_ssl_ticket_context tickets;
    mbedtls_x509_crt roots;
    struct ca *ca;
    bool system_roots;
};

struct tls {
    mbedtls_ssl_context ssl;
    struct tls_context *context;
    struct ca_leaf *leaf; /* the server's */
    struct buf in, out;
    bool in_end, open, ended;
    int failed; /* errno: mbedTLS's context must not be used any more */
    char host[HOST_MAX + 1];
};

static const char *alpn[] = {"http/1.1", NULL};

static const int server_suites[] = {
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    0,
};

static const int client_suites[] = {
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
#endif
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_DHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_DHE_RSA_WITH_AES_256_GCM_SHA384,
    /* old servers */
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
    0,
};

#if MBEDTLS_VERSION_NUMBER >= 0x03010000
static const uint16_t groups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519,    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};
#define conf_groups mbedtls_ssl_conf_groups
#else
static const mbedtls_ecp_group_id groups[] = {
    MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1,
    MBEDTLS_ECP_DP_SECP521R1,  MBEDTLS_ECP_DP_NONE,
};
#define conf_groups mbedtls_ssl_conf_curves
#endif

static struct tls *tls_of(mbedtls_ssl_context *ssl)
{
    return (struct tls *)((char *)ssl - offsetof(struct tls, ssl));
}

static bool is_address(const char *host, unsigned char address[16], size_t *size)
{
    *size = inet_pton(AF_INET, host, address) == 1 ? 4 : 16;
    return *size == 4 || inet_pton(AF_INET6, host, address) == 1;
}

/* The name that mbedTLS read in the ClientHello must be the one that was judged. */
static int check_server_name(void *context, mbedtls_ssl_context *ssl, const unsigned char *name,
                             size_t size)
{
    (void)context;
    const struct tls *tls = tls_of(ssl);
    if (size > 0 && name[size - 1] == '.')
        size--;
    bool same = size == strlen(tls->host) && strncasecmp((const char *)name, tls->host, size) == 0;
    return same ? 0 : -1;
}

/* With every certificate of the chain, the server's own last: an address must stand in it. */
static int check_address(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    const struct tls *tls = context;
    unsigned char address[16];
    size_t size;
    if (depth > 0 || !is_address(tls->host, address, &size))
        return 0;
    const mbedtls_x509_sequence *name = &certificate->subject_alt_names;
    for (; name != NULL; name = name->next)
        if ((name->buf.tag & 0x1f) == 7 && name->buf.len == size &&
            memcmp(name->buf.p, address, size) == 0)
            return 0;
    *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

static int send_out(void *context, const unsigned char *data, size_t size)
{
    struct tls *tls = context;
    if (buf_len(&tls->out) >= OUT_HARD_MAX)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    return buf_append(&tls->out, data, size) < 0 ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)size;
}

static int receive_in(void *context, unsigned char *data, size_t size)
{
    struct tls *tls = context;
    size_t there = buf_len(&tls->in);
    if (there == 0)
        return tls->in_end ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
    if (size > there)
        size = there;
    memcpy(data, buf_data(&tls->in), size);
    buf_consume(&tls->in, size);
    if (size == there)
        buf_free(&tls->in); /* idle connections are many */
    return (int)size;
}

static int configure(mbedtls_ssl_config *config, int endpoint, const int *suites)
{
    int rc = mbedtls_ssl_config_defaults(config, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                         MBEDTLS_SSL_PRESET_DEFAULT);
    mbedtls_ssl_conf_rng(config, ca_random, NULL);
#if MBEDTLS_VERSION_NUMBER >= 0x03020000
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
#else
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
    mbedtls_ssl_conf_ciphersuites(config, suites);
    conf_groups(config, groups);
    return rc == 0 ? mbedtls_ssl_conf_alpn_protocols(config, alpn) : rc;
}

static int configure_both(struct tls_context *context)
{
    int rc = configure(&context->server, MBEDTLS_SSL_IS_SERVER, server_suites);
    if (rc == 0)
        rc = mbedtls_ssl_ticket_setup(&context->tickets, ca_random, NULL,
                                      MBEDTLS_CIPHER_AES_256_GCM, TICKET_SECONDS);
    if (rc == 0)
        rc = configure(&context->client, MBEDTLS_SSL_IS_CLIENT, client_suites);
    mbedtls_ssl_conf_session_tickets_cb(&context->server, mbedtls_ssl_ticket_write,
                                        mbedtls_ssl_ticket_parse, &context->tickets);
    mbedtls_ssl_conf_sni(&context->server, check_server_name, NULL);
    mbedtls_ssl_conf_authmode(&context->client, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&context->client, &context->roots, NULL);
    return rc;
}

/* Adds a file's certificates to the roots. `all`: none of them may be unreadable. */
static int add_roots(struct tls_context *context, const char *path, bool all, struct error *err)
{
    CLEAN_BUF struct buf pem = {0};
    int rc = path_read(path, ROOTS_MAX, &pem, err);
    if (rc < 0)
        return rc;
    const char *text = buf_string(&pem);
    if (text == NULL)
        return error_set(err, ENOMEM, "out of memory");
    rc = mbedtls_x509_crt_parse(&context->roots, (const unsigned char *)text, buf_len(&pem) + 1);
    if (rc < 0 || (rc > 0 && all))
        return error_set(err, EINVAL, "%s: has no certificates, or broken ones (PEM is expected)",
                         path);
    return 0;
}

static int add_system_roots(struct tls_context *context, struct error *err)
{
    static const char *const paths[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Arch, Alpine */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
        "/etc/ssl/ca-bundle.pem",             /* openSUSE */
    };
    const char *named = getenv("SSL_CERT_FILE");
    if (named != NULL && named[0] != '\0')
        return add_roots(context, named, false, err);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (access(paths[i], R_OK) == 0)
            return add_roots(context, paths[i], false, err);
    if (context->roots.version != 0) /* those of the user's alone */
        return 0;
    return error_set(err, ENOENT,
                     "this machine has no root certificates (install ca-certificates, or set "
                     "SSL_CERT_FILE)");
}

static void cleanup_context(struct tls_context **context)
{
    tls_context_free(*context);
}

int tls_context_new(struct ca *ca, const char *const *root_files, struct tls_context **out,
                    struct error *err)
{
    __attribute__((cleanup(cleanup_context))) struct tls_context *context =
        calloc(1, sizeof *context);
    if (context == NULL)
        return error_set(err, ENOMEM, "out of memory");
    context->ca = ca;
    mbedtls_ssl_config_init(&context->server);
    mbedtls_ssl_config_init(&context->client);
    mbedtls_ssl_ticket_init(&context->tickets);
    mbedtls_x509_crt_init(&context->roots);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    if (psa_crypto_init() != PSA_SUCCESS)
        return error_set(err, EIO, "cannot set up TLS: no source of random numbers");
#endif
    int rc = configure_both(context);
    if (rc != 0)
        return ca_error(err, EIO, "cannot set up TLS", rc);
    for (size_t i = 0; root_files != NULL && root_files[i] != NULL; i++) {
        rc = add_roots(context, root_files[i], true, err);
        if (rc < 0)
            return rc;
    }
    *out = take_ptr(context);
    return 0;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    mbedtls_ssl_config_free(&context->server);
    mbedtls_ssl_config_free(&context->client);
    mbedtls_ssl_ticket_free(&context->tickets);
    mbedtls_x509_crt_free(&context->roots);
    free(context);
}

static void cleanup_tls(struct tls **tls)
{
    tls_free(*tls);
}
#define CLEAN_TLS __attribute__((cleanup(cleanup_tls)))

static struct tls *new_tls(struct tls_context *context, const char *host)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    tls->context = context;
    mbedtls_ssl_init(&tls->ssl);
    mbedtls_ssl_set_bio(&tls->ssl, tls, send_out, receive_in, NULL);
    strncpy(tls->host, host, HOST_MAX);
    return tls;
}

int tls_accept(struct tls_context *context, const char *host, struct tls **out, struct error *err)
{
    CLEAN_TLS struct tls *tls = new_tls(context, host);
    if (tls == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = ca_leaf_get(context->ca, host, &tls->leaf, err);
    if (rc < 0)
        return rc;
    rc = mbedtls_ssl_setup(&tls->ssl, &context->server);
    if (rc == 0) /* as mbedTLS's own callback for SNI would, but also for a client without SNI */
        rc = mbedtls_ssl_set_hs_own_cert(&tls->ssl, ca_leaf_certificate(tls->leaf),
                                         ca_leaf_key(context->ca));
    if (rc != 0)
        return ca_error(err, ENOMEM, "cannot start TLS", rc);
    *out = take_ptr(tls);
    return 0;
}

int tls_connect(struct tls_context *context, const char *host, struct tls **out, struct error *err)
{
    if (!context->system_roots) {
        int rc = add_system_roots(context, err);
        if (rc < 0)
            return error_wrap(err, "cannot verify servers");
        context->system_roots = true;
    }
    CLEAN_TLS struct tls *tls = new_tls(context, host);
    if (tls == NULL)
        return error_set(err, ENOMEM, "out of memory");
    unsigned char address[16];
    size_t size;
    int rc = mbedtls_ssl_setup(&tls->ssl, &context->client);
    mbedtls_ssl_set_verify(&tls->ssl, check_address, tls);
    if (rc == 0)
        rc = mbedtls_ssl_set_hostname(&tls->ssl, is_address(host, address, &size) ? NULL : host);
    if (rc != 0)
        return ca_error(err, ENOMEM, "cannot start TLS", rc);
    *out = take_ptr(tls);
    return 0;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    mbedtls_ssl_free(&tls->ssl);
    ca_leaf_put(tls->leaf);
    buf_free(&tls->in);
    buf_free(&tls->out);
    free(tls);
}

size_t tls_feed(struct tls *tls, const void *data, size_t size)
{
    size_t room = TLS_IN_MAX - buf_len(&tls->in);
    if (size > room)
        size = room;
    return buf_append(&tls->in, data, size) < 0 ? 0 : size;
}

void tls_feed_end(struct tls *tls)
{
    tls->in_end = true;
}

const void *tls_output(const struct tls *tls, size_t *size)
{
    *size = buf_len(&tls->out);
    return buf_data(&tls->out);
}

void tls_output_sent(struct tls *tls, size_t size)
{
    buf_consume(&tls->out, size);
    if (buf_len(&tls->out) == 0)
        buf_free(&tls->out);
}

/* What an alert of the other side means to the user (RFC 8446 6.2). */
static const char *alert_text(int alert)
{
    static const struct {
        int alert;
        const char *text;
    } alerts[] = {
        {40, "found no settings in common"},
        {42, "says that the certificate is bad"},
        {45, "says that the certificate has expired (is a clock wrong?)"},
        {46, "does not accept the certificate"},
        {48, "does not trust the authority that signed the certificate"},
        {70, "wants another version of TLS"},
        {86, "does not fall back"},
        {90, "cancelled"},
        {112, "does not know that name"},
        {116, "wants a client certificate"},
        {120, "does not speak HTTP/1.1"},
    };
    for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++)
        if (alerts[i].alert == alert)
            return alerts[i].text;
    return "refused to go on";
}

/* The first that applies, worst first. */
static const char *verify_text(uint32_t flags)
{
    static const struct {
        uint32_t flag;
        const char *text;
    } reasons[] = {
        {MBEDTLS_X509_BADCERT_EXPIRED, "has expired"},
        {MBEDTLS_X509_BADCERT_FUTURE, "is not valid yet (is this machine's clock right?)"},
        {MBEDTLS_X509_BADCERT_NOT_TRUSTED,
         "is not trusted: no chain leads to a root of this machine (--upstream-ca adds one)"},
        {MBEDTLS_X509_BADCERT_CN_MISMATCH, "is for another name"},
        {MBEDTLS_X509_BADCERT_KEY_USAGE, "is not for servers"},
        {MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, "is not for servers"},
        {MBEDTLS_X509_BADCERT_BAD_MD, "is signed with a hash that is too weak"},
        {MBEDTLS_X509_BADCERT_BAD_PK, "has a kind of key that is not accepted"},
        {MBEDTLS_X509_BADCERT_BAD_KEY, "has a key that is too short"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if ((flags & reasons[i].flag) != 0)
            return reasons[i].text;
    return "cannot be verified";
}

/* One line for what mbedTLS returned. */
static int describe(struct tls *tls, int result, struct error *err)
{
    bool client = tls->leaf == NULL;
    uint32_t flags = mbedtls_ssl_get_verify_result(&tls->ssl);
    if (client && flags != 0 && flags != UINT32_MAX) /* all set: nothing was verified yet */
        return error_set(err, EACCES, "the certificate of %s %s", tls->host, verify_text(flags));
    if (result == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        int alert = tls->ssl.MBEDTLS_PRIVATE(in_msg)[1];
        return error_set(err, EPROTO, "TLS: the other side %s (alert %d)", alert_text(alert),
                         alert);
    }
    if (result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        return error_set(err, ECONNRESET, "TLS: the other side closed during the handshake");
    if (result == MBEDTLS_ERR_SSL_CONN_EOF)
        return error_set(err, ECONNRESET, "TLS: the connection ended before its end was announced");
    if (result == MBEDTLS_ERR_SSL_ALLOC_FAILED)
        return error_set(err, ENOMEM, "out of memory");
    return ca_error(err, EPROTO, "TLS", result);
}

/* A fatal result. It is the last use of mbedTLS's context. */
static int fail(struct tls *tls, int result, struct error *err)
{
    int rc = describe(tls, result, err);
    tls->failed = -rc;
    return rc;
}

static bool must_wait(int result)
{
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    if (result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
        return true;
#endif
    return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
}

int tls_handshake(struct tls *tls, struct error *err)
{
    if (tls->failed != 0)
        return error_set(err, tls->failed, "TLS: the connection has failed");
    if (tls->open)
        return 0;
    int rc = mbedtls_ssl_handshake(&tls->ssl);
    if (must_wait(rc))
        return -EAGAIN;
    if (rc != 0)
        return fail(tls, rc, err);
    tls->open = true;
    return 0;
}

ssize_t tls_read(struct tls *tls, void *data, size_t size, struct error *err)
{
    int rc = tls_handshake(tls, err);
    if (rc < 0)
        return rc;
    if (tls->ended)
        return 0;
    if (size == 0)
        return -EAGAIN;
    do {
        rc = mbedtls_ssl_read(&tls->ssl, data, size);
    } while (must_wait(rc) && rc != MBEDTLS_ERR_SSL_WANT_WRITE && buf_len(&tls->in) > 0);
    if (rc > 0)
        return rc;
    tls->ended = rc == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY;
    if (tls->ended)
        return 0;
    if (must_wait(rc))
        return -EAGAIN;
    return fail(tls, rc == 0 ? MBEDTLS_ERR_SSL_CONN_EOF : rc, err);
}

ssize_t tls_write(struct tls *tls, const void *data, size_t size, struct error *err)
{
    int rc = tls_handshake(tls, err);
    if (rc < 0)
        return rc;
    if (size == 0)
        return 0;
    if (buf_len(&tls->out) >= TLS_OUT_MAX)
        return -EAGAIN;
    rc = mbedtls_ssl_write(&tls->ssl, data, size);
    if (rc >= 0)
        return rc;
    return must_wait(rc) ? -EAGAIN : fail(tls, rc, err);
}

void tls_close(struct tls *tls)
{
    if (tls->open && tls->failed == 0)
        (void)mbedtls_ssl_close_notify(&tls->ssl);
}
