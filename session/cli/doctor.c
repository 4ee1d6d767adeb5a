/*
 * vmdeck doctor: one row of the table per thing that a session needs, in the order in which a
 * start would meet them. A check says what it found and, where that is not good, what to do. Only
 * what keeps sessions from starting is a FAIL.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"
#include "base/str.h"
#include "session/cli/show.h"
#include "session/cli/verb.h"
#include "session/store/registry.h"
#include "vm/accel.h"
#include "vm/image/image.h"
#include "vm/qemu.h"

#define QEMU_MAJOR    7 /* the least version; see vm/qemu.c for what is used of it */
#define QEMU_MINOR    2
#define SPACE_WARN    (2ull << 30)   /* a built image and a few busy disks */
#define SPACE_FAIL    (100ull << 20) /* no session gets far with less */
#define VERSION_MAX   4096
#define SUBUID_MAX    (1 << 20)
#define SOCKET_SUFFIX "/01234567.sock"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

struct doctor {
    enum verdict worst;
    char *qemu; /* NULL: none */
    struct image image;
    bool image_there;
};

static void say(struct doctor *doctor, enum verdict verdict, const char *what, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

static void say(struct doctor *doctor, enum verdict verdict, const char *what, const char *format,
                ...)
{
    static const char *const names[] = {"ok", "warn", "FAIL"};
    va_list args;
    printf("%-4s %s: ", names[verdict], what);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    if (verdict > doctor->worst)
        doctor->worst = verdict;
}

/* The first line that the program prints, up to VERSION_MAX bytes. */
static int first_line(const char *const *argv, struct buf *out)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -errno;
    CLEAN_FD int ours = pipes[0];
    CLEAN_FD int theirs = pipes[1];
    const struct process_fd fds[] = {{theirs, STDOUT_FILENO}};
    pid_t pid =
        process_spawn(&(struct process_spec){.argv = argv, .fds = fds, .fd_count = 1}, NULL);
    if (pid < 0)
        return pid;
    close(take_fd(&theirs));
    uint8_t *room = buf_reserve(out, VERSION_MAX);
    ssize_t got;
    for (size_t left = VERSION_MAX - 1; room != NULL && left > 0; left -= (size_t)got) {
        got = read(ours, room, left);
        if (got <= 0)
            break;
        buf_added(out, (size_t)got);
        room += got;
    }
    close(take_fd(&ours)); /* one that goes on printing ends by SIGPIPE */
    process_wait(pid);
    return 0;
}

static void check_qemu(struct doctor *doctor)
{
    CLEAN_BUF struct buf text = {0};
    struct error err = {0};
    unsigned major = 0, minor = 0;
    if (qemu_find("x86_64", &doctor->qemu, &err) < 0) {
        say(doctor, VERDICT_FAIL, "QEMU", "%s", err.message);
        return;
    }
    const char *const argv[] = {doctor->qemu, "--version", NULL};
    const char *version = NULL;
    if (first_line(argv, &text) == 0 && buf_string(&text) != NULL)
        version = strstr(buf_string(&text), "version ");
    if (version == NULL || sscanf(version, "version %u.%u", &major, &minor) != 2)
        say(doctor, VERDICT_FAIL, "QEMU", "%s does not say its version (install qemu-system-x86)",
            doctor->qemu);
    else if (major < QEMU_MAJOR || (major == QEMU_MAJOR && minor < QEMU_MINOR))
        say(doctor, VERDICT_FAIL, "QEMU", "%s is version %u.%u (install %d.%d or later)",
            doctor->qemu, major, minor, QEMU_MAJOR, QEMU_MINOR);
    else
        say(doctor, VERDICT_OK, "QEMU", "%s, version %u.%u", doctor->qemu, major, minor);
}

static void check_image(struct doctor *doctor)
{
    struct error err = {0};
    const char *selector = getenv("VMDECK_IMAGE");
    bool chosen = selector != NULL && *selector != '\0';
    int rc = image_open(chosen ? selector : IMAGE_DEFAULT, &doctor->image, &err);
    doctor->image_there = rc == 0;
    if (rc == 0)
        say(doctor, VERDICT_OK, "image", "%s, build %.12s", doctor->image.name, doctor->image.id);
    else if (rc == -ENOENT && !chosen)
        say(doctor, VERDICT_WARN, "image",
            "the default image has not been built (the first session builds it, or vmdeck image "
            "build)");
    else
        say(doctor, VERDICT_FAIL, "image", "%s", err.message);
}

static void check_kvm(struct doctor *doctor)
{
    struct accel accel = {0};
    struct error err = {0};
    if (access("/dev/kvm", R_OK | W_OK) < 0)
        say(doctor, VERDICT_WARN, "KVM", "/dev/kvm: %s (%s); VMs are emulated, which is slow",
            strerror(errno),
            errno == EACCES ? "join the group kvm" : "switch virtualisation on in the firmware");
    else if (doctor->qemu == NULL || !doctor->image_there)
        say(doctor, VERDICT_WARN, "KVM",
            "/dev/kvm is there; whether it works shows with QEMU and an image");
    else if (accel_choose(ACCEL_AUTO, doctor->qemu, doctor->image.kernel, &accel, &err) < 0)
        say(doctor, VERDICT_WARN, "KVM", "%s", err.message);
    else if (accel.kvm)
        say(doctor, VERDICT_OK, "KVM", "a guest runs on it");
    else
        say(doctor, VERDICT_WARN, "KVM", "%s; VMs are emulated, which is slow", accel.reason);
}

/* A line "NAME:…" or "UID:…" in /etc/subuid, see subuid(5). */
static bool has_subuids(void)
{
    CLEAN_BUF struct buf text = {0};
    const struct passwd *user = getpwuid(getuid());
    if (geteuid() == 0)
        return true; /* needs none */
    if (user == NULL || path_read("/etc/subuid", SUBUID_MAX, &text, NULL) < 0 ||
        buf_string(&text) == NULL)
        return false;
    CLEAN_FREE char *by_name = str_printf("%s:", user->pw_name);
    CLEAN_FREE char *by_id = str_printf("%u:", (unsigned)user->pw_uid);
    for (const char *line = buf_string(&text); by_name != NULL && by_id != NULL && *line != '\0';) {
        if (str_starts(line, by_name) || str_starts(line, by_id))
            return true;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return false;
}

static void check_builder(struct doctor *doctor)
{
    CLEAN_FREE char *mmdebstrap = process_find("mmdebstrap");
    CLEAN_FREE char *newuidmap = process_find("newuidmap");
    if (mmdebstrap == NULL)
        say(doctor, VERDICT_WARN, "image builder",
            "mmdebstrap is missing: images can be imported, not built (install mmdebstrap)");
    else if (newuidmap == NULL && geteuid() != 0)
        say(doctor, VERDICT_WARN, "image builder",
            "newuidmap is missing: images can be imported, not built (install uidmap)");
    else if (!has_subuids())
        say(doctor, VERDICT_WARN, "image builder",
            "you have no line in /etc/subuid: images can be imported, not built (as root: usermod "
            "--add-subuids 100000-165535 --add-subgids 100000-165535 USER)");
    else
        say(doctor, VERDICT_OK, "image builder", "mmdebstrap and user namespaces are there");
}

static const struct {
    enum path_base base;
    const char *what;
    bool space;
} directories[] = {
    {PATH_RUNTIME, "sockets", false}, {PATH_STATE, "state", true},      {PATH_DATA, "images", true},
    {PATH_CACHE, "cache", false},     {PATH_CONFIG, "settings", false},
};

static void check_space(struct doctor *doctor, const char *what, const char *path)
{
    struct statvfs fs;
    char size[SHOW_SIZE];
    if (statvfs(path, &fs) < 0) {
        say(doctor, VERDICT_WARN, what, "%s: %s", path, strerror(errno));
        return;
    }
    uint64_t space = (uint64_t)fs.f_bavail * fs.f_frsize;
    show_size(space, size);
    enum verdict verdict = space < SPACE_FAIL   ? VERDICT_FAIL
                           : space < SPACE_WARN ? VERDICT_WARN
                                                : VERDICT_OK;
    say(doctor, verdict, what, "%s, %s free%s", path, size,
        verdict != VERDICT_OK ? " (free some, or set XDG_STATE_HOME and XDG_DATA_HOME)" : "");
}

static void check_directories(struct doctor *doctor)
{
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        CLEAN_FREE char *path = NULL;
        struct error err = {0};
        struct stat st;
        const char *what = directories[i].what;
        if (path_xdg(directories[i].base, NULL, &path, &err) < 0)
            say(doctor, VERDICT_FAIL, what, "%s", err.message);
        else if (stat(path, &st) < 0 || access(path, R_OK | W_OK | X_OK) < 0)
            say(doctor, VERDICT_FAIL, what, "%s: %s", path, strerror(errno));
        else if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
            say(doctor, VERDICT_WARN, what, "%s: others can enter (chmod 700 it)", path);
        else if (directories[i].space)
            check_space(doctor, what, path);
        else
            say(doctor, VERDICT_OK, what, "%s", path);
    }
}

static void check_socket(struct doctor *doctor)
{
    CLEAN_FREE char *path = NULL;
    const size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path;
    if (path_xdg(PATH_RUNTIME, NULL, &path, NULL) < 0)
        return; /* said with the directories */
    size_t length = strlen(path) + strlen(SOCKET_SUFFIX);
    if (length >= room)
        say(doctor, VERDICT_FAIL, "socket paths", "%zu bytes, more than %zu (set XDG_RUNTIME_DIR)",
            length, room - 1);
    else
        say(doctor, VERDICT_OK, "socket paths", "%zu of at most %zu bytes", length, room - 1);
}

static void check_database(struct doctor *doctor)
{
    struct registry *registry;
    struct error err = {0};
    CLEAN_SESSIONS struct session_list list = {0};
    int rc = registry_open(&registry, NULL, &err);
    if (rc == 0)
        rc = session_list(registry, SESSIONS_ALL, &list, &err);
    registry_close(registry);
    if (rc < 0)
        say(doctor, VERDICT_FAIL, "database", "%s", err.message);
    else
        say(doctor, VERDICT_OK, "database", "%zu sessions known", list.count);
}

static void check_terminal(struct doctor *doctor)
{
    const char *term = getenv("TERM"), *colors = getenv("COLORTERM");
    if (term == NULL || *term == '\0' || strcmp(term, "dumb") == 0)
        say(doctor, VERDICT_WARN, "terminal",
            "TERM is '%s': bash and attach need a terminal (set TERM, as xterm-256color)",
            term != NULL ? term : "");
    else if (colors != NULL && (strcmp(colors, "truecolor") == 0 || strcmp(colors, "24bit") == 0))
        say(doctor, VERDICT_OK, "terminal", "%s, true colour", term);
    else if (strstr(term, "256color") != NULL || strstr(term, "direct") != NULL)
        say(doctor, VERDICT_OK, "terminal", "%s, 256 colours or more", term);
    else
        say(doctor, VERDICT_OK, "terminal", "%s", term);
    setlocale(LC_CTYPE, "");
    const char *charset = nl_langinfo(CODESET);
    setlocale(LC_CTYPE, "C");
    if (strcmp(charset, "UTF-8") == 0)
        say(doctor, VERDICT_OK, "locale", "UTF-8");
    else
        say(doctor, VERDICT_WARN, "locale",
            "%s, not UTF-8: characters beyond ASCII will look wrong (set LANG, as C.UTF-8)",
            charset);
}

static void (*const checks[])(struct doctor *doctor) = {
    check_qemu,        check_image,  check_kvm,      check_builder,
    check_directories, check_socket, check_database, check_terminal,
};

static int doctor_main(const struct verb *verb, char **args, struct error *err)
{
    struct doctor doctor = {0};
    char **rest;
    int rc = verb_parse(verb, NULL, args, &rest, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (*rest != NULL)
        return error_set(err, USAGE_ERROR, "'%.60s': doctor takes no arguments", *rest);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        checks[i](&doctor);
    image_close(&doctor.image);
    free(doctor.qemu);
    return doctor.worst == VERDICT_FAIL ? 1 : 0;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .usage = "[--help]",
    .summary = "Check what sessions need from this host, and say what to do",
    .run = doctor_main,
};
