/* Both sides of net/tls.h against each other, and its client against servers that are wrong. */
#include "unit.h"

#include <errno.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <time.h>

#include "base/buf.h"
#include "ca_fixture.h"
#include "net/ca_mbedtls.h"
#include "net/tls.h"

#define DAY 86400

static struct ca *ca;
static struct tls_context *context;

struct pair {
    struct tls *client, *server;
};

/* Hands over what waits, in pieces. True when something moved. */
static bool carry(struct tls *from, struct tls *to, size_t piece)
{
    size_t size, moved = 0;
    const char *out = tls_output(from, &size);
    while (moved < size) {
        size_t part = size - moved < piece ? size - moved : piece;
        size_t taken = tls_feed(to, out + moved, part);
        moved += taken;
        if (taken < part)
            break;
    }
    tls_output_sent(from, moved);
    return moved > 0;
}

/* One byte a step, each seen by the state machine, is the hardest cut there is. */
static int shake(struct pair *pair, size_t piece, struct error *client, struct error *server)
{
    int at_client, at_server;
    bool moved;
    do {
        at_client = tls_handshake(pair->client, client);
        moved = carry(pair->client, pair->server, piece);
        at_server = tls_handshake(pair->server, server);
        moved |= carry(pair->server, pair->client, piece);
    } while (moved && (at_client == -EAGAIN || at_server == -EAGAIN));
    return at_client != 0 && at_client != -EAGAIN ? at_client : at_server;
}

static void open_pair(struct pair *pair, const char *client, const char *server)
{
    struct error err = {0};
    if (tls_connect(context, client, &pair->client, &err) < 0)
        fail_msg("%s", err.message);
    if (tls_accept(context, server, &pair->server, &err) < 0)
        fail_msg("%s", err.message);
}

static void free_pair(struct pair *pair)
{
    tls_free(pair->client);
    tls_free(pair->server);
}

static void test_handshake(void **state)
{
    (void)state;
    static const struct {
        const char *client, *server;
        const char *client_error, *server_error; /* parts of; NULL: none */
    } rows[] = {
        {"a.example", "a.example", NULL, NULL},
        {"93.184.216.34", "93.184.216.34", NULL, NULL},
        {"2001:db8::1", "2001:db8::1", NULL, NULL},
        {"93.184.216.34", "93.184.216.35", "the certificate of 93.184.216.34 is for another name",
         "TLS: the other side "},
        {"93.184.216.34", "a.example", "is for another name", NULL},
        {"a.example", "b.example", "TLS: the other side does not know that name (alert 112)",
         "TLS: "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
        struct pair pair;
        struct error client = {0}, server = {0};
        open_pair(&pair, rows[i / 2].client, rows[i / 2].server);
        int rc = shake(&pair, i % 2 == 0 ? SIZE_MAX : 1, &client, &server);
        assert_int_equal(rc == 0, rows[i / 2].client_error == NULL);
        if (rows[i / 2].client_error != NULL &&
            strstr(client.message, rows[i / 2].client_error) == NULL)
            fail_msg("client: %s", client.message);
        if (rows[i / 2].server_error != NULL &&
            strstr(server.message, rows[i / 2].server_error) == NULL)
            fail_msg("server: %s", server.message);
        free_pair(&pair);
    }
}

/* Bytes that depend on where they are, so that none is lost or doubled unseen. */
static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at ^ at >> 8 ^ at >> 16);
}

static size_t write_some(struct tls *tls, size_t at, size_t total)
{
    uint8_t data[20000];
    size_t size = total - at < sizeof data ? total - at : sizeof data;
    for (size_t i = 0; i < size; i++)
        data[i] = byte_at(at + i);
    ssize_t written = tls_write(tls, data, size, NULL);
    assert_true(written > 0 || (size == 0 && written == 0) || written == -EAGAIN);
    return written > 0 ? (size_t)written : 0;
}

static size_t read_some(struct tls *tls, size_t at)
{
    uint8_t data[5000];
    ssize_t size = tls_read(tls, data, sizeof data, NULL);
    assert_true(size > 0 || size == -EAGAIN);
    for (ssize_t i = 0; i < size; i++)
        assert_int_equal(data[i], byte_at(at + (size_t)i));
    return size > 0 ? (size_t)size : 0;
}

static void transfer(struct tls *from, struct tls *to, size_t total, size_t piece)
{
    size_t written = 0, got = 0, size;
    while (got < total) {
        size_t before = written + got;
        written += write_some(from, written, total);
        (void)tls_output(from, &size);
        assert_true(size <= TLS_OUT_MAX + 20000);
        bool moved = carry(from, to, piece);
        got += read_some(to, got);
        assert_true(moved || written + got > before);
    }
    assert_int_equal(written, total);
}

static void test_data(void **state)
{
    (void)state;
    static const struct {
        size_t total, piece;
    } rows[] = {{1, 1}, {100000, 1}, {300000, 1000}, {1 << 20, SIZE_MAX}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct pair pair;
        open_pair(&pair, "a.example", "a.example");
        assert_int_equal(shake(&pair, rows[i].piece, NULL, NULL), 0);
        transfer(pair.client, pair.server, rows[i].total, rows[i].piece);
        transfer(pair.server, pair.client, rows[i].total, rows[i].piece);
        free_pair(&pair);
    }
}

/* Who is not drained takes no more, and who does not read is fed no more. */
static void test_bounds(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair, "a.example", "a.example");
    assert_int_equal(shake(&pair, SIZE_MAX, NULL, NULL), 0);
    size_t written = 0, more, size, fed = 0;
    while ((more = write_some(pair.client, written, SIZE_MAX)) > 0)
        written += more;
    const char *out = tls_output(pair.client, &size);
    assert_in_range(size, TLS_OUT_MAX, TLS_OUT_MAX + 20000);
    while ((more = tls_feed(pair.server, out + fed, size - fed)) > 0)
        fed += more;
    assert_int_equal(fed, TLS_IN_MAX);
    free_pair(&pair);
}

static void test_end(void **state)
{
    (void)state;
    char data[16];
    for (int announced = 0; announced < 2; announced++) {
        struct pair pair;
        struct error err = {0};
        open_pair(&pair, "a.example", "a.example");
        assert_int_equal(tls_read(pair.server, data, sizeof data, &err), -EAGAIN);
        assert_int_equal(shake(&pair, SIZE_MAX, NULL, NULL), 0);
        assert_int_equal(tls_write(pair.client, "last", 4, &err), 4);
        if (announced)
            tls_close(pair.client);
        carry(pair.client, pair.server, SIZE_MAX);
        tls_feed_end(pair.server);
        assert_int_equal(tls_read(pair.server, data, sizeof data, &err), 4);
        assert_int_equal(tls_read(pair.server, data, sizeof data, &err),
                         announced ? 0 : -ECONNRESET);
        assert_int_equal(tls_read(pair.server, data, sizeof data, &err),
                         announced ? 0 : -ECONNRESET);
        if (announced) { /* half-closed: the other direction goes on */
            assert_int_equal(tls_write(pair.server, "answer", 6, &err), 6);
            carry(pair.server, pair.client, SIZE_MAX);
            assert_int_equal(tls_read(pair.client, data, sizeof data, &err), 6);
        }
        free_pair(&pair);
    }
    struct pair pair;
    struct error err = {0};
    open_pair(&pair, "a.example", "a.example");
    tls_feed_end(pair.server);
    assert_int_equal(tls_handshake(pair.server, &err), -ECONNRESET);
    assert_int_equal(tls_feed(pair.client, "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 28);
    assert_int_equal(tls_handshake(pair.client, &err), -EPROTO);
    assert_non_null(strstr(err.message, "TLS: "));
    free_pair(&pair);
}

/* A record that was changed on its way. */
static void test_changed(void **state)
{
    (void)state;
    struct pair pair;
    struct error err = {0};
    char data[100] = "";
    size_t size;
    open_pair(&pair, "a.example", "a.example");
    assert_int_equal(shake(&pair, SIZE_MAX, NULL, NULL), 0);
    carry(pair.server, pair.client, SIZE_MAX);
    assert_int_equal(tls_write(pair.client, data, 50, NULL), 50);
    const char *out = tls_output(pair.client, &size);
    assert_true(size <= sizeof data);
    memcpy(data, out, size);
    data[size - 1] ^= 1;
    assert_int_equal(tls_feed(pair.server, data, size), size);
    assert_int_equal(tls_read(pair.server, data, sizeof data, &err), -EPROTO);
    assert_int_equal(tls_write(pair.server, data, sizeof data, &err), -EPROTO);
    free_pair(&pair);
}

static void test_roots(void **state)
{
    (void)state;
    struct tls_context *other;
    struct error err = {0};
    const char *missing[] = {ca_path("missing.pem"), NULL};
    assert_int_equal(tls_context_new(NULL, missing, &other, &err), -ENOENT);
    assert_non_null(strstr(err.message, "missing.pem"));
    assert_int_equal(path_write(ca_path("text.pem"), 0600, "text", 4, NULL), 0);
    const char *text[] = {ca_path("text.pem"), NULL};
    assert_int_equal(tls_context_new(NULL, text, &other, &err), -EINVAL);
    assert_non_null(strstr(err.message, "text.pem"));

    /* roots that do not know our authority, and then as a further one */
    struct ca *stranger;
    setenv("XDG_DATA_HOME", ca_path("other"), 1);
    assert_int_equal(ca_open(&stranger, &err), 0);
    ca_close(stranger);
    setenv("SSL_CERT_FILE", ca_path("other/vmdeck/ca/ca.crt"), 1);
    const char *ours[] = {ca_path("vmdeck/ca/ca.crt"), NULL};
    for (int further = 0; further < 2; further++) {
        struct error client = {0}, server = {0};
        struct pair pair;
        assert_int_equal(tls_context_new(NULL, further ? ours : NULL, &other, &err), 0);
        assert_int_equal(tls_connect(other, "a.example", &pair.client, &err), 0);
        assert_int_equal(tls_accept(context, "a.example", &pair.server, &err), 0);
        int rc = shake(&pair, SIZE_MAX, &client, &server);
        if (further) {
            assert_int_equal(rc, 0);
        } else {
            assert_int_equal(rc, -EACCES);
            assert_non_null(strstr(client.message, "the certificate of a.example is not trusted"));
            assert_non_null(strstr(server.message, "does not trust the authority"));
        }
        free_pair(&pair);
        tls_context_free(other);
    }
    setenv("SSL_CERT_FILE", ca_path("missing.pem"), 1);
    assert_int_equal(tls_context_new(NULL, NULL, &other, &err), 0);
    struct tls *tls;
    assert_int_equal(tls_connect(other, "a.example", &tls, &err), -ENOENT);
    assert_non_null(strstr(err.message, "cannot verify servers: "));
    tls_context_free(other);
    setenv("SSL_CERT_FILE", ca_path("vmdeck/ca/ca.crt"), 1);
    setenv("XDG_DATA_HOME", ca_home, 1);
}

struct wrong {
    int from, until; /* days from now */
    bool self_signed, weak;
    const char *why;
};

/* The key of the test's authority, or a new one. */
static void get_key(mbedtls_pk_context *key, bool ours)
{
    mbedtls_pk_init(key);
    if (!ours) {
        assert_int_equal(mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), 0);
        assert_int_equal(
            mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), ca_random, NULL), 0);
        return;
    }
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    assert_int_equal(
        mbedtls_pk_parse_keyfile(key, ca_path("vmdeck/ca/ca.key"), NULL, ca_random, NULL), 0);
#else
    assert_int_equal(mbedtls_pk_parse_keyfile(key, ca_path("vmdeck/ca/ca.key"), NULL), 0);
#endif
}

static void make_wrong(const struct wrong *wrong, mbedtls_pk_context *key, mbedtls_x509_crt *out)
{
    mbedtls_x509write_cert writer;
    mbedtls_x509_crt root;
    mbedtls_pk_context authority;
    unsigned char der[4096];
    char issuer[128], times[2][16];
    const char *pem = ca_certificate(ca);
    get_key(&authority, true);
    mbedtls_x509_crt_init(&root);
    assert_int_equal(mbedtls_x509_crt_parse(&root, (const unsigned char *)pem, strlen(pem) + 1), 0);
    assert_true(mbedtls_x509_dn_gets(issuer, sizeof issuer, &root.subject) > 0);
    for (int i = 0; i < 2; i++) {
        time_t when = time(NULL) + (time_t)(i == 0 ? wrong->from : wrong->until) * DAY;
        struct tm tm;
        strftime(times[i], sizeof times[i], "%Y%m%d%H%M%S", gmtime_r(&when, &tm));
    }
    mbedtls_x509write_crt_init(&writer);
    mbedtls_x509write_crt_set_version(&writer, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&writer, wrong->weak ? MBEDTLS_MD_SHA1 : MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&writer, key);
    mbedtls_x509write_crt_set_issuer_key(&writer, wrong->self_signed ? key : &authority);
    const char *subject = "CN=a.example";
    assert_int_equal(mbedtls_x509write_crt_set_subject_name(&writer, subject), 0);
    assert_int_equal(
        mbedtls_x509write_crt_set_issuer_name(&writer, wrong->self_signed ? subject : issuer), 0);
    assert_int_equal(mbedtls_x509write_crt_set_validity(&writer, times[0], times[1]), 0);
    int size = mbedtls_x509write_crt_der(&writer, der, sizeof der, ca_random, NULL);
    assert_true(size > 0);
    mbedtls_x509_crt_init(out);
    assert_int_equal(mbedtls_x509_crt_parse_der(out, der + sizeof der - size, (size_t)size), 0);
    mbedtls_x509write_crt_free(&writer);
    mbedtls_x509_crt_free(&root);
    mbedtls_pk_free(&authority);
}

/* A server's ends of the wires are the client's feed and output. */
static int to_client(void *client, const unsigned char *data, size_t size)
{
    return (int)tls_feed(client, data, size);
}

static int from_client(void *client, unsigned char *data, size_t size)
{
    size_t there;
    const void *out = tls_output(client, &there);
    if (there == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (size > there)
        size = there;
    memcpy(data, out, size);
    tls_output_sent(client, size);
    return (int)size;
}

static int meet(const struct wrong *wrong, struct error *err)
{
    mbedtls_ssl_config config;
    mbedtls_ssl_context server;
    mbedtls_pk_context key;
    mbedtls_x509_crt crt;
    struct tls *client;
    get_key(&key, false);
    make_wrong(wrong, &key, &crt);
    assert_int_equal(tls_connect(context, "a.example", &client, err), 0);
    mbedtls_ssl_config_init(&config);
    mbedtls_ssl_init(&server);
    assert_int_equal(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_SERVER,
                                                 MBEDTLS_SSL_TRANSPORT_STREAM,
                                                 MBEDTLS_SSL_PRESET_DEFAULT),
                     0);
    mbedtls_ssl_conf_rng(&config, ca_random, NULL);
    assert_int_equal(mbedtls_ssl_conf_own_cert(&config, &crt, &key), 0);
    assert_int_equal(mbedtls_ssl_setup(&server, &config), 0);
    mbedtls_ssl_set_bio(&server, client, to_client, from_client, NULL);
    int rc;
    do {
        rc = tls_handshake(client, err);
        if (rc == -EAGAIN)
            (void)mbedtls_ssl_handshake(&server);
    } while (rc == -EAGAIN);
    tls_free(client);
    mbedtls_ssl_free(&server);
    mbedtls_ssl_config_free(&config);
    mbedtls_x509_crt_free(&crt);
    mbedtls_pk_free(&key);
    return rc;
}

static void test_wrong_certificates(void **state)
{
    (void)state;
    static const struct wrong rows[] = {
        {-1, 1, false, false, NULL}, /* nothing wrong: the others fail for their reason */
        {-10, -5, false, false, "the certificate of a.example has expired"},
        {5, 10, false, false, "the certificate of a.example is not valid yet"},
        {-1, 1, true, false, "the certificate of a.example is not trusted"},
        {-1, 1, false, true, "the certificate of a.example is signed with a hash"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        if (meet(&rows[i], &err) != (rows[i].why == NULL ? 0 : -EACCES))
            fail_msg("%zu: %s", i, err.message);
        if (rows[i].why != NULL && strncmp(err.message, rows[i].why, strlen(rows[i].why)) != 0)
            fail_msg("%s", err.message);
    }
}

static int set_up(void **state)
{
    if (ca_home_make(state) != 0 || ca_open(&ca, NULL) < 0)
        return -1;
    setenv("SSL_CERT_FILE", ca_path("vmdeck/ca/ca.crt"), 1);
    return tls_context_new(ca, NULL, &context, NULL);
}

static int tear_down(void **state)
{
    tls_context_free(context);
    ca_close(ca);
    return ca_home_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_wrong_certificates),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
