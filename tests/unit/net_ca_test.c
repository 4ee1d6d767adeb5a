/* The authority and its leaves, as mbedTLS and (where it is installed) openssl see them. */
#include "unit.h"

#include <arpa/inet.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/buf.h"
#include "base/process.h"
#include "base/str.h"
#include "ca_fixture.h"
#include "net/ca_mbedtls.h"

static bool have_openssl(void)
{
    char *path = process_find("openssl");
    free(path);
    return path != NULL;
}

/* What the shell command prints; one at a time. */
static const char *output_of(const char *command)
{
    static char text[16384];
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    text[fread(text, 1, sizeof text - 1, pipe)] = '\0';
    pclose(pipe);
    return text;
}

#define PEM_MAX 4096

/* The authority's certificate as it is now. */
static void pem_now(char pem[PEM_MAX])
{
    struct ca *ca;
    struct error err = {0};
    if (ca_open(&ca, &err) < 0)
        fail_msg("%s", err.message);
    snprintf(pem, PEM_MAX, "%s", ca_certificate(ca));
    ca_close(ca);
}

static void write_text(const char *path, const char *text)
{
    assert_int_equal(path_write(path, 0600, text, strlen(text), NULL), 0);
}

static time_t seconds(const mbedtls_x509_time *time)
{
    struct tm tm = {.tm_year = time->year - 1900,
                    .tm_mon = time->mon - 1,
                    .tm_mday = time->day,
                    .tm_hour = time->hour,
                    .tm_min = time->min,
                    .tm_sec = time->sec};
    return timegm(&tm);
}

static void test_made_once(void **state)
{
    (void)state;
    char first[PEM_MAX], second[PEM_MAX];
    pem_now(first);
    pem_now(second);
    assert_string_equal(first, second);
    struct stat st;
    assert_int_equal(stat(ca_path("vmdeck/ca/ca.key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    mbedtls_x509_crt crt;
    mbedtls_x509_crt_init(&crt);
    assert_int_equal(mbedtls_x509_crt_parse(&crt, (const unsigned char *)first, strlen(first) + 1),
                     0);
    time_t days = (seconds(&crt.valid_to) - seconds(&crt.valid_from)) / 86400;
    assert_in_range(days, 3600, 3700);
    assert_in_range(time(NULL) - seconds(&crt.valid_from), 86400, 86400 + 60);
    assert_true(crt.serial.len <= 20 && crt.serial.p[0] < 0x80);
    mbedtls_x509_crt_free(&crt);
}

static void test_authority_text(void **state)
{
    (void)state;
    if (!have_openssl())
        skip();
    char pem[PEM_MAX];
    pem_now(pem);
    char *command = str_printf("openssl x509 -noout -text -in %s", ca_path("vmdeck/ca/ca.crt"));
    const char *text = output_of(command);
    static const char *const parts[] = {
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign",
        "X509v3 Subject Key Identifier",
        "prime256v1",
        "ecdsa-with-SHA256",
        "O = vmdeck, CN = vmdeck CA on ",
    };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (strstr(text, parts[i]) == NULL)
            fail_msg("not there: %s in %s", parts[i], text);
    free(command);
}

static void make_by_openssl(int days)
{
    char *command = str_printf(
        "cd %s/vmdeck/ca && umask 077 && openssl req -x509 -newkey ec -pkeyopt "
        "ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days %d -subj /CN=other "
        "2>&1",
        ca_home, days);
    (void)output_of(command);
    free(command);
}

static void test_made_anew(void **state)
{
    (void)state;
    char before[PEM_MAX], after[PEM_MAX];
    pem_now(before);
    write_text(ca_path("vmdeck/ca/ca.key"), "not a key");
    pem_now(after);
    assert_string_not_equal(before, after);

    pem_now(before);
    assert_int_equal(unlink(ca_path("vmdeck/ca/ca.crt")), 0);
    pem_now(after);
    assert_string_not_equal(before, after);

    pem_now(before);
    assert_int_equal(chmod(ca_path("vmdeck/ca/ca.key"), 0640), 0);
    pem_now(after);
    assert_string_not_equal(before, after);

    /* a certificate that belongs to another key */
    struct buf old = {0};
    assert_int_equal(path_read(ca_path("vmdeck/ca/ca.crt"), 4096, &old, NULL), 0);
    write_text(ca_path("vmdeck/ca/ca.key"), "x");
    pem_now(before);
    write_text(ca_path("vmdeck/ca/ca.crt"), buf_string(&old));
    buf_free(&old);
    pem_now(after);
    assert_string_not_equal(before, after);

    char *large = calloc(1, 100001);
    assert_non_null(large);
    memset(large, 'x', 100000);
    pem_now(before);
    write_text(ca_path("vmdeck/ca/ca.crt"), large);
    free(large);
    pem_now(after);
    assert_string_not_equal(before, after);
}

static void test_expiring(void **state)
{
    (void)state;
    if (!have_openssl())
        skip();
    char pem[PEM_MAX];
    pem_now(pem);
    make_by_openssl(100);
    pem_now(pem);
    char *command = str_printf("openssl x509 -noout -subject -in %s", ca_path("vmdeck/ca/ca.crt"));
    assert_non_null(strstr(output_of(command), "CN = other"));
    make_by_openssl(20);
    pem_now(pem);
    assert_non_null(strstr(output_of(command), "CN = vmdeck CA on"));
    free(command);
}

static void test_unusable_place(void **state)
{
    (void)state;
    write_text(ca_path("file"), "");
    setenv("XDG_DATA_HOME", ca_path("file"), 1);
    struct ca *ca;
    struct error err = {0};
    assert_true(ca_open(&ca, &err) < 0);
    assert_non_null(strstr(err.message, "cannot open the certificate authority: "));
    setenv("XDG_DATA_HOME", ca_home, 1);
}

/* Many first sessions at once have one authority. */
static void test_at_once(void **state)
{
    (void)state;
    assert_int_equal(path_remove(ca_path("vmdeck"), NULL), 0);
    int results[2];
    assert_int_equal(pipe(results), 0);
    enum { CHILDREN = 6 };
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            char pem[PEM_MAX] = "";
            struct ca *ca;
            if (ca_open(&ca, NULL) == 0) {
                snprintf(pem, sizeof pem, "%s", ca_certificate(ca));
                ca_close(ca);
            }
            ssize_t written = write(results[1], pem, sizeof pem); /* PIPE_BUF: in one piece */
            _exit(written == sizeof pem ? 0 : 1);
        }
    }
    close(results[1]);
    char first[PEM_MAX], next[PEM_MAX];
    assert_int_equal(read(results[0], first, sizeof first), sizeof first);
    assert_non_null(strstr(first, "BEGIN CERTIFICATE"));
    for (int i = 1; i < CHILDREN; i++) {
        assert_int_equal(read(results[0], next, sizeof next), sizeof next);
        assert_string_equal(first, next);
    }
    close(results[0]);
    while (wait(NULL) > 0)
        ;
}

/* Chain, purpose, strict form, and the name: by openssl. */
static void verify_by_openssl(struct ca_leaf *leaf, const char *host, bool address)
{
    unsigned char pem[PEM_MAX];
    size_t size;
    const mbedtls_x509_crt *crt = ca_leaf_certificate(leaf);
    assert_int_equal(mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n",
                                              "-----END CERTIFICATE-----\n", crt->raw.p,
                                              crt->raw.len, pem, sizeof pem, &size),
                     0);
    write_text(ca_path("leaf.pem"), (char *)pem);
    char *command = str_printf("cd %s && openssl verify -x509_strict -purpose sslserver %s '%s' "
                               "-CAfile vmdeck/ca/ca.crt leaf.pem 2>&1",
                               ca_home, address ? "-verify_ip" : "-verify_hostname", host);
    assert_string_equal(output_of(command), "leaf.pem: OK\n");
    free(command);
}

static void test_leaves(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool address;
    } rows[] = {
        {"example.com", false},
        {"a_b.example", false},
        {"a-name-of-more-than-sixty-four-characters.for-which-there-is-no-place.in-cn.example",
         false},
        {"93.184.216.34", true},
        {"2001:db8::1", true},
    };
    struct ca *ca;
    assert_int_equal(ca_open(&ca, NULL), 0);
    mbedtls_x509_crt root;
    mbedtls_x509_crt_init(&root);
    const char *pem = ca_certificate(ca);
    assert_int_equal(mbedtls_x509_crt_parse(&root, (const unsigned char *)pem, strlen(pem) + 1), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct ca_leaf *leaf, *again;
        assert_int_equal(ca_leaf_get(ca, rows[i].host, &leaf, NULL), 0);
        assert_int_equal(ca_leaf_get(ca, rows[i].host, &again, NULL), 0);
        assert_ptr_equal(leaf, again);
        mbedtls_x509_crt *crt = ca_leaf_certificate(leaf);
        uint32_t flags = 0;
        assert_int_equal(mbedtls_x509_crt_verify(crt, &root, NULL,
                                                 rows[i].address ? NULL : rows[i].host, &flags,
                                                 NULL, NULL),
                         0);
        assert_true(crt->serial.len <= 20 && crt->serial.p[0] < 0x80);
        assert_int_equal(
            mbedtls_x509_crt_check_extended_key_usage(crt, MBEDTLS_OID_SERVER_AUTH,
                                                      MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)),
            0);
        time_t days = (seconds(&crt->valid_to) - seconds(&crt->valid_from)) / 86400;
        assert_in_range(days, 390, 397);
        assert_true(seconds(&crt->valid_from) <= time(NULL) - 86400);
        assert_null(crt->subject_alt_names.next);
        if (have_openssl())
            verify_by_openssl(leaf, rows[i].host, rows[i].address);
        ca_leaf_put(leaf);
        ca_leaf_put(again);
    }
    char name[300];
    memset(name, 'a', sizeof name);
    name[254] = '\0';
    struct ca_leaf *leaf;
    assert_true(ca_leaf_get(ca, name, &leaf, NULL) < 0);
    mbedtls_x509_crt_free(&root);
    ca_close(ca);
}

static bool same_serial(const mbedtls_x509_buf *a, const unsigned char serial[20])
{
    return memcmp(a->p, serial, a->len) == 0;
}

static void test_cache(void **state)
{
    (void)state;
    struct ca *ca;
    struct ca_leaf *kept, *leaf;
    unsigned char first[20], second[20];
    assert_int_equal(ca_open(&ca, NULL), 0);
    assert_int_equal(ca_leaf_get(ca, "first", &kept, NULL), 0);
    memcpy(first, ca_leaf_certificate(kept)->serial.p, ca_leaf_certificate(kept)->serial.len);
    assert_int_equal(ca_leaf_get(ca, "second", &leaf, NULL), 0);
    memcpy(second, ca_leaf_certificate(leaf)->serial.p, ca_leaf_certificate(leaf)->serial.len);
    ca_leaf_put(leaf);
    for (int i = 2; i <= CA_LEAVES_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        if (i == CA_LEAVES_MAX) { /* full: "first" is used once more, so "second" goes */
            assert_int_equal(ca_leaf_get(ca, "first", &leaf, NULL), 0);
            assert_ptr_equal(leaf, kept);
            ca_leaf_put(leaf);
        }
        assert_int_equal(ca_leaf_get(ca, name, &leaf, NULL), 0);
        ca_leaf_put(leaf);
    }
    assert_int_equal(ca_leaf_get(ca, "first", &leaf, NULL), 0);
    assert_true(same_serial(&ca_leaf_certificate(leaf)->serial, first));
    ca_leaf_put(leaf);
    assert_int_equal(ca_leaf_get(ca, "second", &leaf, NULL), 0);
    assert_false(same_serial(&ca_leaf_certificate(leaf)->serial, second));
    ca_close(ca); /* what is held stays */
    assert_true(same_serial(&ca_leaf_certificate(kept)->serial, first));
    ca_leaf_put(kept);
    ca_leaf_put(leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_once),      cmocka_unit_test(test_authority_text),
        cmocka_unit_test(test_made_anew),      cmocka_unit_test(test_expiring),
        cmocka_unit_test(test_unusable_place), cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_leaves),         cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests(tests, ca_home_make, ca_home_remove);
}
