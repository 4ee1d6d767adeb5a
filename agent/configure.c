/*
 * The clock first (what follows may be dated), then the random number generator: all forks of one
 * template would draw the same numbers until it is reseeded (there is no vmgenid in the kernel we
 * boot), so nothing else runs before that. The bytes are mixed in and credited by RNDADDENTROPY;
 * RNDRESEEDCRNG makes them count at once. A machine without /etc/machine-id (machine-id(5)) gets
 * one from the reseeded generator. Files are changed only where they do not say it yet: the root
 * file system may be read-only or somebody else's.
 *
 * An emulated fork pays for all code that it runs for the first time, and what writes into files is
 * a twentieth of all until its first command ends. So the boot leaves room for what is to come, as
 * long as it usually is, in files that are mapped.
 */
#include "agent/configure.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/console.h"
#include "agent/environment.h"
#include "agent/network.h"
#include "agent/trust.h"
#include "base/buf.h"

#define NANOSECONDS  UINT64_C(1000000000)
#define ETC_FILE_MAX (1u * 1024 * 1024)

/* letters, digits, '-' and '.', as hostname(7) says; neither first nor last of them a '-' or '.' */
static bool hostname_valid(const uint8_t *name, uint32_t length)
{
    if (length == 0 || length > CONFIGURE_HOSTNAME_MAX)
        return false;
    for (uint32_t i = 0; i < length; i++) {
        uint8_t c = name[i], lower = c | 0x20;
        bool edge = i == 0 || i == length - 1;
        if (!((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
              ((c == '-' || c == '.') && !edge)))
            return false;
    }
    return true;
}

static const char *check_setting(const struct wire_field *field, size_t *env_count)
{
    switch (field->tag) {
    case WIRE_SET_TIME:
    case WIRE_SET_TIME_PASSED:
        return field->length == 8 ? NULL : "a time that is not 8 bytes";
    case WIRE_SET_ENTROPY:
        return field->length >= CONFIGURE_ENTROPY_MIN && field->length <= CONFIGURE_ENTROPY_MAX
                   ? NULL
                   : "entropy that is not 32 to 256 bytes";
    case WIRE_SET_HOSTNAME:
        return hostname_valid(field->data, field->length) ? NULL : "a host name that is none";
    case WIRE_SET_TRUST:
        return field->length >= 1 && field->length <= WIRE_TRUST_MAX
                   ? NULL
                   : "a certificate that is not 1 to 16,384 bytes";
    case WIRE_SET_OFFLINE:
    case WIRE_SET_RESTORED:
        return field->length == 0 ? NULL : "a flag with content";
    default: /* WIRE_SET_ENV */
        if (!environment_valid(field->data, field->length))
            return "an environment entry that is not NAME=VALUE";
        return ++*env_count > ENVIRONMENT_MAX ? "too many environment entries" : NULL;
    }
}

static void take_setting(struct settings *settings, const struct wire_field *field, char **room)
{
    char *copy = *room;
    if (field->length > 0)
        memcpy(copy, field->data, field->length);
    copy[field->length] = '\0';
    *room += (size_t)field->length + 1;
    switch (field->tag) {
    case WIRE_SET_TIME:
    case WIRE_SET_TIME_PASSED:
        settings->has_time = true;
        settings->time_passed = field->tag == WIRE_SET_TIME_PASSED;
        settings->time = get_u64(field->data);
        break;
    case WIRE_SET_ENTROPY:
        settings->entropy = (const uint8_t *)copy;
        settings->entropy_size = field->length;
        break;
    case WIRE_SET_HOSTNAME:
        settings->hostname = copy;
        break;
    case WIRE_SET_TRUST:
        settings->trust = (const uint8_t *)copy;
        settings->trust_size = field->length;
        break;
    case WIRE_SET_OFFLINE:
        settings->offline = true;
        break;
    case WIRE_SET_RESTORED:
        settings->restored = true;
        break;
    default: /* WIRE_SET_ENV */
        settings->env[settings->env_count++] = copy;
        break;
    }
}

int configure_parse(const uint8_t *data, uint32_t size, struct settings *settings, const char **why)
{
    struct wire_field field;
    const uint8_t *at = data;
    uint32_t left = size;
    size_t env_count = 0, bytes = 0;
    int rc;
    *settings = (struct settings){0};
    while ((rc = wire_field_next(&at, &left, WIRE_SETTINGS, &field)) > 0) {
        bytes += (size_t)field.length + 1;
        *why = check_setting(&field, &env_count);
        if (*why != NULL)
            return -EINVAL;
    }
    *why = "a setting that is unknown or cut short";
    if (rc < 0)
        return rc;
    *why = "no memory for the settings";
    size_t pointers = (env_count + 1) * sizeof(char *);
    settings->memory = calloc(1, pointers + bytes);
    if (settings->memory == NULL)
        return -ENOMEM;
    settings->env = settings->memory;
    char *room = (char *)settings->memory + pointers;
    while (wire_field_next(&data, &size, WIRE_SETTINGS, &field) > 0)
        take_setting(settings, &field, &room);
    return 0;
}

void configure_free(struct settings *settings)
{
    free(settings->memory);
    *settings = (struct settings){0};
}

/* Opened in time: looking a path up anew costs a fork more than writing the file. */
static int kept[CONFIGURE_FILES] = {-1, -1, -1, -1};

void configure_keep(enum configure_file file, int fd)
{
    if (kept[file] >= 0)
        close(kept[file]);
    kept[file] = fd;
}

static struct {
    char *text; /* mapped; NULL: none, or used */
    size_t size;
    off_t at;
} reserved[CONFIGURE_FILES];

void configure_reserve(enum configure_file file, off_t at, const char *text)
{
    size_t size = strlen(text);
    int fd = kept[file];
    if (fd < 0 || at < 0 || pwrite(fd, text, size, at) != (ssize_t)size)
        return;
    char *map = mmap(NULL, (size_t)at + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    reserved[file].text = map != MAP_FAILED ? map + at : NULL;
    reserved[file].size = size;
    reserved[file].at = at;
    if (map != MAP_FAILED)
        memcpy(map + at, text, size); /* the pages are there, and may be written */
    else if (ftruncate(fd, at) != 0)
        console_log("a file of the machine's identity says more than it should");
}

/* Where there is no room of that size, the file is again as if none had been left. */
static bool fill_reserved(enum configure_file file, const char *text)
{
    char *room = reserved[file].text;
    size_t size = strlen(text);
    if (room == NULL)
        return false;
    reserved[file].text = NULL; /* from now on others may change the file */
    bool fits = size == reserved[file].size;
    if (fits)
        memcpy(room, text, size);
    else if (ftruncate(kept[file], reserved[file].at) != 0)
        console_log("a file of the machine's identity says more than it should");
    return fits;
}

/*
 * Writes the text into a kept file from `at` on, as its end. False where there is none, or somebody
 * has changed its length meanwhile.
 */
static bool write_kept(enum configure_file file, off_t size, off_t at, const char *text)
{
    struct stat st;
    ssize_t length = (ssize_t)strlen(text);
    if (fill_reserved(file, text))
        return true;
    if (kept[file] < 0 || fstat(kept[file], &st) != 0 || (size >= 0 && st.st_size != size) ||
        pwrite(kept[file], text, (size_t)length, at) != length)
        return false;
    return st.st_size <= at + length || ftruncate(kept[file], at + length) == 0;
}

static off_t hosts_size = -1; /* of the file as it was, without us */

void configure_hosts(const char *text, off_t size)
{
    hosts_size = size > 0 && text[size - 1] != '\n' ? -1 : size;
    configure_reserve(CONFIGURE_HOSTS, hosts_size, "127.0.1.1\tvmdeck-0000\n");
}

static int apply_time(const struct settings *settings)
{
    struct timespec now = {.tv_sec = (time_t)(settings->time / NANOSECONDS),
                           .tv_nsec = (long)(settings->time % NANOSECONDS)};
    struct timespec is;
    if (!settings->has_time)
        return 0;
    if (settings->time_passed && clock_gettime(CLOCK_REALTIME, &is) == 0 &&
        (is.tv_sec > now.tv_sec || (is.tv_sec == now.tv_sec && is.tv_nsec >= now.tv_nsec)))
        return 0;
    return clock_settime(CLOCK_REALTIME, &now) != 0 ? -errno : 0;
}

static int apply_entropy(const struct settings *settings)
{
    /* struct rand_pool_info: two ints, then the bytes */
    _Alignas(struct rand_pool_info)
        uint8_t memory[sizeof(struct rand_pool_info) + CONFIGURE_ENTROPY_MAX];
    struct rand_pool_info *pool = (struct rand_pool_info *)(void *)memory;
    if (settings->entropy_size == 0)
        return 0;
    if (kept[CONFIGURE_RANDOM] < 0)
        kept[CONFIGURE_RANDOM] = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    int fd = kept[CONFIGURE_RANDOM];
    if (fd < 0)
        return -errno;
    pool->entropy_count = (int)settings->entropy_size * 8;
    pool->buf_size = (int)settings->entropy_size;
    memcpy(memory + sizeof *pool, settings->entropy, settings->entropy_size);
    int rc = ioctl(fd, RNDADDENTROPY, pool) != 0 || ioctl(fd, RNDRESEEDCRNG) != 0 ? -errno : 0;
    explicit_bzero(memory, sizeof memory);
    return rc;
}

/* Cuts what was longer only where it was: O_TRUNC would cost more than the rest. */
static int write_file(const char *path, int flags, const char *text)
{
    struct stat st;
    size_t size = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (fd < 0)
        return -errno;
    int rc = write(fd, text, size) < 0 || fstat(fd, &st) != 0 ? -errno : 0;
    if (rc == 0 && (flags & O_APPEND) == 0 && (size_t)st.st_size > size &&
        ftruncate(fd, (off_t)size) != 0)
        rc = -errno;
    close(fd);
    return rc;
}

static void read_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *room = NULL;
    ssize_t n = 0;
    while (fd >= 0 && buf_len(out) < ETC_FILE_MAX && (room = buf_reserve(out, 4096)) != NULL &&
           (n = read(fd, room, 4096)) > 0)
        buf_added(out, (size_t)n);
    if (fd >= 0)
        close(fd);
}

/* True if a line of hosts(5) has the name. */
static bool hosts_names(char *text, const char *name)
{
    char *line_end = NULL, *word_end = NULL;
    for (char *line = strtok_r(text, "\n", &line_end); line != NULL;
         line = strtok_r(NULL, "\n", &line_end)) {
        line[strcspn(line, "#")] = '\0';
        char *word = strtok_r(line, " \t", &word_end); /* the address */
        while (word != NULL && (word = strtok_r(NULL, " \t", &word_end)) != NULL)
            if (strcasecmp(word, name) == 0)
                return true;
    }
    return false;
}

static int apply_hostname(const struct settings *settings)
{
    char line[CONFIGURE_HOSTNAME_MAX + 32];
    struct buf hosts = {0};
    const char *name = settings->hostname;
    if (name == NULL)
        return 0;
    if (sethostname(name, strlen(name)) != 0)
        return -errno;
    stpcpy(stpcpy(line, name), "\n");
    int rc = write_kept(CONFIGURE_HOSTNAME, -1, 0, line) ? 0 : write_file("/etc/hostname", 0, line);
    stpcpy(stpcpy(stpcpy(line, "127.0.1.1\t"), name), "\n");
    if (hosts_size >= 0 && write_kept(CONFIGURE_HOSTS, hosts_size, hosts_size, line))
        return rc == -EROFS ? 0 : rc;
    read_file("/etc/hosts", &hosts);
    bool ends = buf_len(&hosts) == 0 || buf_data(&hosts)[buf_len(&hosts) - 1] == '\n';
    const char *text = buf_string(&hosts);
    if (text != NULL && !hosts_names((char *)(uintptr_t)text, name)) {
        snprintf(line, sizeof line, "%s127.0.1.1\t%s\n", ends ? "" : "\n", name);
        int also = write_file("/etc/hosts", O_APPEND, line);
        rc = rc < 0 ? rc : also;
    }
    buf_free(&hosts);
    return rc == -EROFS ? 0 : rc;
}

static int apply_machine_id(const struct settings *settings)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[16];
    char id[2 * sizeof random + 2];
    struct buf old = {0};
    struct stat st;
    if (settings->entropy_size == 0)
        return 0;
    bool empty = reserved[CONFIGURE_MACHINE_ID].text != NULL ||
                 (kept[CONFIGURE_MACHINE_ID] >= 0 && fstat(kept[CONFIGURE_MACHINE_ID], &st) == 0 &&
                  st.st_size == 0);
    if (!empty)
        read_file("/etc/machine-id", &old);
    bool has = buf_len(&old) >= 2 * sizeof random;
    buf_free(&old);
    if (has || getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return 0;
    random[6] = (uint8_t)((random[6] & 0x0f) | 0x40); /* a version 4 UUID */
    random[8] = (uint8_t)((random[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof random; i++) {
        id[2 * i] = digits[random[i] >> 4];
        id[2 * i + 1] = digits[random[i] & 15];
    }
    id[2 * sizeof random] = '\n';
    id[2 * sizeof random + 1] = '\0';
    if (empty && write_kept(CONFIGURE_MACHINE_ID, 0, 0, id))
        return 0;
    int rc = write_file("/etc/machine-id", 0, id);
    return rc == -EROFS ? 0 : rc;
}

static int apply_trust(const struct settings *settings)
{
    return settings->trust_size > 0 ? trust_install(settings->trust, settings->trust_size) : 0;
}

static int apply_offline(const struct settings *settings)
{
    return settings->offline ? network_down() : 0;
}

static int apply_restored(const struct settings *settings)
{
    return settings->restored ? network_drop_connections() : 0;
}

int configure_apply(const struct settings *settings, const char **why)
{
    static const struct {
        int (*run)(const struct settings *settings);
        const char *failure;
    } steps[] = {
        {apply_time, "cannot set the clock"},
        {apply_entropy, "cannot reseed the random number generator"},
        {apply_hostname, "cannot set the host name"},
        {apply_machine_id, "cannot write /etc/machine-id"},
        {apply_trust, "cannot add the certificate authority"},
        {apply_offline, "cannot take the network down"},
        {apply_restored, "cannot reset the network's connections"},
    };
    int first = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int rc = steps[i].run(settings);
        if (rc < 0 && first == 0) {
            first = rc;
            *why = steps[i].failure;
        }
    }
    return first;
}
