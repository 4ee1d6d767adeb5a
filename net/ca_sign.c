/*
 * mbedTLS 2.28 writes neither subjectAltName nor extendedKeyUsage: their DER is put together here.
 */
#include "net/ca_sign.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mbedtls/asn1write.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/version.h>
#include <mbedtls/x509.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#define DER_MAX     4096
#define SERIAL_SIZE 16 /* at most 20 (RFC 5280 4.1.2.2) */

int ca_random(void *context, unsigned char *out, size_t size)
{
    (void)context;
    while (size > 0) {
        ssize_t got = getrandom(out, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return MBEDTLS_ERR_X509_FATAL_ERROR;
        out += got;
        size -= (size_t)got;
    }
    return 0;
}

int ca_error(struct error *err, int code, const char *what, int result)
{
    char text[256];
    mbedtls_strerror(result, text, sizeof text);
    return error_set(err, code, "%s: %s", what, text);
}

int ca_make_key(mbedtls_pk_context *key)
{
    int rc = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (rc == 0)
        rc = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), ca_random, NULL);
    return rc;
}

static int set_serial(mbedtls_x509write_cert *writer)
{
    unsigned char serial[SERIAL_SIZE];
    int rc = ca_random(NULL, serial, sizeof serial);
    if (rc != 0)
        return rc;
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40); /* positive, and of full length */
#if MBEDTLS_VERSION_NUMBER >= 0x03040000
    return mbedtls_x509write_crt_set_serial_raw(writer, serial, sizeof serial);
#else
    mbedtls_mpi number;
    mbedtls_mpi_init(&number);
    rc = mbedtls_mpi_read_binary(&number, serial, sizeof serial);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_serial(writer, &number);
    mbedtls_mpi_free(&number);
    return rc;
#endif
}

static int set_validity(mbedtls_x509write_cert *writer, time_t from, time_t until)
{
    char text[2][16];
    const time_t times[2] = {from, until};
    for (int i = 0; i < 2; i++) {
        struct tm tm;
        gmtime_r(&times[i], &tm);
        strftime(text[i], sizeof text[i], "%Y%m%d%H%M%S", &tm);
    }
    return mbedtls_x509write_crt_set_validity(writer, text[0], text[1]);
}

/* subjectAltName: one dNSName or iPAddress. mbedTLS writes DER from the end to the start. */
static int set_host(mbedtls_x509write_cert *writer, const char *host)
{
    unsigned char der[CA_HOST_MAX + 16], address[16];
    unsigned char *at = der + sizeof der;
    const void *value = address;
    unsigned char tag = 7;
    size_t size = sizeof(struct in6_addr);
    if (inet_pton(AF_INET, host, address) == 1) {
        size = sizeof(struct in_addr);
    } else if (inet_pton(AF_INET6, host, address) != 1) {
        value = host;
        tag = 2;
        size = strlen(host);
    }
    (void)mbedtls_asn1_write_raw_buffer(&at, der, value, size);
    (void)mbedtls_asn1_write_len(&at, der, size);
    (void)mbedtls_asn1_write_tag(&at, der, (unsigned char)(MBEDTLS_ASN1_CONTEXT_SPECIFIC | tag));
    size = (size_t)(der + sizeof der - at);
    (void)mbedtls_asn1_write_len(&at, der, size);
    (void)mbedtls_asn1_write_tag(&at, der, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
    return mbedtls_x509write_crt_set_extension(writer, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0,
                                               at, (size_t)(der + sizeof der - at));
}

static int set_server_use(mbedtls_x509write_cert *writer)
{
    static const unsigned char der[] = {0x30, 10, MBEDTLS_ASN1_OID, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1};
    return mbedtls_x509write_crt_set_extension(writer, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0,
                                               der, sizeof der);
}

static int describe(mbedtls_x509write_cert *writer, const struct ca_request *request)
{
    bool authority = request->host == NULL;
    mbedtls_x509write_crt_set_version(writer, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(writer, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(writer, request->key);
    mbedtls_x509write_crt_set_issuer_key(writer, request->issuer_key);
    int rc = set_serial(writer);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_subject_name(writer, request->subject);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_issuer_name(writer, request->issuer);
    if (rc == 0)
        rc = set_validity(writer, request->from, request->until);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_basic_constraints(writer, authority, authority ? 0 : -1);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_subject_key_identifier(writer);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_authority_key_identifier(writer);
    if (rc == 0)
        rc = mbedtls_x509write_crt_set_key_usage(
            writer, authority ? MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN
                              : MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    if (rc == 0 && !authority)
        rc = set_server_use(writer);
    if (rc == 0 && !authority)
        rc = set_host(writer, request->host);
    return rc;
}

int ca_sign(const struct ca_request *request, mbedtls_x509_crt *out)
{
    unsigned char der[DER_MAX];
    mbedtls_x509write_cert writer;
    mbedtls_x509write_crt_init(&writer);
    int rc = describe(&writer, request);
    if (rc == 0)
        rc = mbedtls_x509write_crt_der(&writer, der, sizeof der, ca_random, NULL);
    if (rc > 0) /* the size; it stands at the end */
        rc = mbedtls_x509_crt_parse_der(out, der + sizeof der - rc, (size_t)rc);
    mbedtls_x509write_crt_free(&writer);
    return rc;
}
