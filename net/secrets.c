/*
 * The set of secrets and its changes. Every change makes a new matcher first and is only then
 * carried out, so a change that fails leaves everything as it was. A deleted secret keeps its
 * place: its placeholder is still in the guest's environment, and its value is still a secret.
 */
#include "net/secrets.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "net/secrets_internal.h"

#define PLACEHOLDER_PREFIX "VMDECK_SECRET_"
#define PLACEHOLDER_DIGITS 48

static int check_name(const char *name, size_t length, struct error *err)
{
    bool good = length > 0 && length < SECRET_NAME_MAX && !isdigit((unsigned char)name[0]);
    for (size_t i = 0; i < length && good; i++)
        good = (isascii(name[i]) && isalnum((unsigned char)name[i])) || name[i] == '_';
    if (good)
        return 0;
    return error_set(err, EINVAL,
                     "the name is not that of an environment variable (letters, "
                     "digits and _)");
}

static int split_hosts(const char *text, size_t size, struct strv *hosts, struct error *err)
{
    for (const char *end = text + size;; text++) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t length = (size_t)((comma != NULL ? comma : end) - text);
        CLEAN_FREE char *host = strndup(text, length);
        struct pattern pattern;
        if (hosts->count == SECRET_HOSTS_MAX)
            return error_set(err, EINVAL, "more than %d hosts", SECRET_HOSTS_MAX);
        if (host == NULL)
            return error_set(err, ENOMEM, "out of memory");
        int rc = pattern_parse_origin(host, &pattern, err);
        if (rc < 0)
            return rc;
        pattern_free(&pattern);
        if (strv_add(hosts, host) < 0)
            return error_set(err, ENOMEM, "out of memory");
        if (comma == NULL)
            return 0;
        text = comma;
    }
}

int secret_option_parse(const char *text, struct secret_option *out, struct error *err)
{
    const char *equals = text + strcspn(text, "=");
    const char *at = memchr(text, '@', (size_t)(equals - text));
    uint64_t number;
    *out = (struct secret_option){0};
    if (at == NULL)
        return error_set(err, EINVAL,
                         "a secret is written NAME@HOST[,HOST...][=VALUE|=@FILE|=fd:N]");
    int rc = check_name(text, (size_t)(at - text), err);
    if (rc < 0)
        return error_wrap(err, "secret");
    memcpy(out->name, text, (size_t)(at - text));
    out->from_text = out->name;
    if (*equals == '=') {
        out->from_text = equals + 1;
        out->from = SECRET_FROM_TEXT;
        if (equals[1] == '@') {
            out->from = SECRET_FROM_FILE;
            out->from_text = equals + 2;
        } else if (str_starts(equals + 1, "fd:")) {
            out->from = SECRET_FROM_FD;
            out->from_text = equals + 4;
            rc = str_number(out->from_text, "descriptor", 0, 1 << 20, &number, err);
        }
    }
    if (rc == 0 && *out->from_text == '\0')
        rc = error_set(err, EINVAL, "nothing stands behind the '='");
    if (rc == 0)
        rc = split_hosts(at + 1, (size_t)(equals - at - 1), &out->hosts, err);
    if (rc == 0)
        return 0;
    error_wrap(err, "secret %s", out->name);
    secret_option_free(out);
    return rc;
}

void secret_option_free(struct secret_option *option)
{
    strv_free(&option->hosts);
}

size_t secret_value_trim(const uint8_t *value, size_t size)
{
    if (size > 0 && value[size - 1] == '\n')
        size--;
    if (size > 0 && value[size - 1] == '\r')
        size--;
    return size;
}

struct secrets *secrets_new(struct error *err)
{
    struct secrets *secrets = calloc(1, sizeof *secrets);
    if (secrets == NULL) {
        error_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    secrets->matcher = matcher_new(NULL, 0, err);
    if (secrets->matcher == NULL) {
        free(secrets);
        return NULL;
    }
    return secrets;
}

static void value_free(struct secret_value *value)
{
    secret_memory_free(value->bytes, value->length);
    *value = (struct secret_value){0};
}

static void hosts_free(struct secret *secret)
{
    for (size_t i = 0; i < secret->host_count; i++)
        pattern_free(&secret->hosts[i]);
    free(secret->hosts);
    secret->hosts = NULL;
    secret->host_count = 0;
}

void secrets_free(struct secrets *secrets)
{
    if (secrets == NULL)
        return;
    for (size_t i = 0; i < secrets->count; i++) {
        struct secret *secret = &secrets->items[i];
        hosts_free(secret);
        value_free(&secret->value);
        for (size_t j = 0; j < secret->former_count; j++)
            value_free(&secret->former[j]);
    }
    matcher_release(secrets->matcher);
    free(secrets);
}

static int value_copy(const uint8_t *bytes, size_t size, struct secret_value *out,
                      struct error *err)
{
    if (size == 0 || size > SECRET_VALUE_MAX)
        return error_set(err, EINVAL, "the value is not 1 to %d bytes", SECRET_VALUE_MAX);
    for (size_t i = 0; i < size; i++)
        if (bytes[i] < 0x20 || bytes[i] == 0x7f)
            return error_set(err, EINVAL,
                             "the value has line breaks or control characters: no header can "
                             "carry it");
    out->bytes = secret_memory_new(size, err);
    if (out->bytes == NULL)
        return err != NULL ? -err->code : -ENOMEM;
    out->length = size;
    memcpy(out->bytes, bytes, size);
    return 0;
}

static int hosts_parse(const struct strv *hosts, struct secret *out, struct error *err)
{
    if (hosts->count == 0 || hosts->count > SECRET_HOSTS_MAX)
        return error_set(err, EINVAL, "a secret has 1 to %d hosts", SECRET_HOSTS_MAX);
    out->hosts = calloc(hosts->count, sizeof out->hosts[0]);
    if (out->hosts == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < hosts->count; i++) {
        int rc = pattern_parse_origin(hosts->items[i], &out->hosts[i], err);
        if (rc < 0) {
            hosts_free(out);
            return rc;
        }
        out->host_count++;
    }
    return 0;
}

/* What the set's members say, as a matcher. */
static int rebuild(struct secrets *secrets, struct error *err)
{
    struct needle_source sources[SECRETS_MAX * (SECRET_FORMER_MAX + 2)];
    size_t count = 0;
    for (size_t i = 0; i < secrets->count; i++) {
        const struct secret *secret = &secrets->items[i];
        sources[count++] =
            (struct needle_source){(const uint8_t *)secret->placeholder,
                                   SECRET_PLACEHOLDER_SIZE - 1, (uint8_t)i, NEEDLE_PLACEHOLDER};
        if (secret->value.length >= SECRET_FIND_MIN)
            sources[count++] = (struct needle_source){secret->value.bytes, secret->value.length,
                                                      (uint8_t)i, NEEDLE_VALUE};
        for (size_t j = 0; j < secret->former_count; j++)
            if (secret->former[j].length >= SECRET_FIND_MIN)
                sources[count++] = (struct needle_source){
                    secret->former[j].bytes, secret->former[j].length, (uint8_t)i, NEEDLE_FORMER};
    }
    struct matcher *matcher = matcher_new(sources, count, err);
    if (matcher == NULL)
        return err != NULL ? -err->code : -ENOMEM;
    matcher_release(secrets->matcher);
    secrets->matcher = matcher;
    return 0;
}

static struct secret *find(struct secrets *secrets, const char *name)
{
    for (size_t i = 0; i < secrets->count; i++)
        if (secrets->items[i].value.bytes != NULL && strcmp(secrets->items[i].name, name) == 0)
            return &secrets->items[i];
    return NULL;
}

static int missing(const char *name, struct error *err)
{
    return error_set(err, ENOENT, "there is no secret %.100s", name);
}

static int make_placeholder(const struct secrets *secrets, const char *given,
                            char out[SECRET_PLACEHOLDER_SIZE], struct error *err)
{
    const size_t prefix = strlen(PLACEHOLDER_PREFIX);
    uint8_t random[PLACEHOLDER_DIGITS / 2];
    if (given == NULL) {
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
            return error_system(err, errno, "cannot get random bytes");
        memcpy(out, PLACEHOLDER_PREFIX, prefix);
        str_hex(out + prefix, random, sizeof random);
        return 0;
    }
    if (!str_starts(given, PLACEHOLDER_PREFIX) || strlen(given) != SECRET_PLACEHOLDER_SIZE - 1 ||
        strspn(given + prefix, "0123456789abcdef") != PLACEHOLDER_DIGITS)
        return error_set(err, EINVAL, "the placeholder is not %s and %d hexadecimal digits",
                         PLACEHOLDER_PREFIX, PLACEHOLDER_DIGITS);
    for (size_t i = 0; i < secrets->count; i++)
        if (strcmp(secrets->items[i].placeholder, given) == 0)
            return error_set(err, EEXIST, "the placeholder is that of another secret");
    memcpy(out, given, SECRET_PLACEHOLDER_SIZE);
    return 0;
}

int secrets_add(struct secrets *secrets, const char *name, const struct strv *hosts,
                const uint8_t *value, size_t size, const char *placeholder, struct error *err)
{
    int rc = check_name(name, strlen(name), err);
    if (rc < 0)
        return error_wrap(err, "secret");
    if (find(secrets, name) != NULL)
        return error_set(err, EEXIST, "secret %s: there is one of this name", name);
    if (secrets->count == SECRETS_MAX)
        return error_set(err, ENOSPC, "secret %s: there are %d already", name, SECRETS_MAX);
    struct secret *secret = &secrets->items[secrets->count];
    *secret = (struct secret){0};
    memcpy(secret->name, name, strlen(name));
    rc = make_placeholder(secrets, placeholder, secret->placeholder, err);
    if (rc == 0)
        rc = hosts_parse(hosts, secret, err);
    if (rc == 0)
        rc = value_copy(value, size, &secret->value, err);
    secrets->count++;
    if (rc == 0)
        rc = rebuild(secrets, err);
    if (rc == 0)
        return 0;
    secrets->count--;
    hosts_free(secret);
    value_free(&secret->value);
    return error_wrap(err, "secret %s", name);
}

int secrets_allow_query(struct secrets *secrets, const char *name, struct error *err)
{
    struct secret *secret = find(secrets, name);
    if (secret == NULL)
        return missing(name, err);
    secret->in_query = true;
    return 0;
}

/* Replaces the value; an empty one deletes the secret. Takes `value` over if it succeeds. */
static int replace_value(struct secrets *secrets, struct secret *secret, struct secret_value value,
                         struct error *err)
{
    struct secret before = *secret;
    bool full = secret->former_count == SECRET_FORMER_MAX;
    if (full)
        memmove(&secret->former[0], &secret->former[1],
                (SECRET_FORMER_MAX - 1) * sizeof secret->former[0]);
    else
        secret->former_count++;
    secret->former[secret->former_count - 1] = secret->value;
    secret->value = value;
    int rc = rebuild(secrets, err);
    if (rc < 0)
        *secret = before;
    else if (full)
        value_free(&before.former[0]);
    return rc;
}

int secrets_update(struct secrets *secrets, const char *name, const struct strv *hosts,
                   const uint8_t *value, size_t size, struct error *err)
{
    struct secret *secret = find(secrets, name);
    struct secret parsed = {0};
    struct secret_value copy = {0};
    int rc = 0;
    if (secret == NULL)
        return missing(name, err);
    if (hosts != NULL)
        rc = hosts_parse(hosts, &parsed, err);
    bool same = value != NULL && size == secret->value.length &&
                memcmp(value, secret->value.bytes, size) == 0;
    if (rc == 0 && value != NULL && !same)
        rc = value_copy(value, size, &copy, err);
    if (rc == 0 && copy.bytes != NULL)
        rc = replace_value(secrets, secret, copy, err);
    if (rc < 0) {
        hosts_free(&parsed);
        value_free(&copy);
        return error_wrap(err, "secret %s", name);
    }
    if (hosts != NULL) {
        hosts_free(secret);
        secret->hosts = parsed.hosts;
        secret->host_count = parsed.host_count;
    }
    return 0;
}

int secrets_remove(struct secrets *secrets, const char *name, struct error *err)
{
    struct secret *secret = find(secrets, name);
    return secret != NULL ? replace_value(secrets, secret, (struct secret_value){0}, err)
                          : missing(name, err);
}

const char *secrets_name(const struct secrets *secrets, size_t index)
{
    return index < secrets->count ? secrets->items[index].name : NULL;
}

const char *secrets_placeholder(const struct secrets *secrets, size_t index)
{
    return index < secrets->count ? secrets->items[index].placeholder : NULL;
}

const uint8_t *secrets_value(const struct secrets *secrets, size_t index, size_t *size)
{
    if (index >= secrets->count)
        return NULL;
    *size = secrets->items[index].value.length;
    return secrets->items[index].value.bytes;
}
