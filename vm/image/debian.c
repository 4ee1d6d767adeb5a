/*
 * mmdebstrap resolves, downloads, verifies and installs. It runs in a PID and mount namespace
 * of its own made by unshare(1): when we end, or cancel, the kernel ends every process of it and
 * drops its mounts, in whatever state they are. As an ordinary user it is in a user namespace
 * too, with the user as root and the user's subordinate ids behind it.
 *
 * The kernel package is downloaded by the new system's own apt in the same run, and only unpacked:
 * installing it would pull in the tools that make an initramfs, which no guest needs. Its post-
 * installation work that matters, modules.dep, is done by the new system's depmod.
 */
#include "vm/image/debian.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "vm/image/run.h"

#define DEBIAN_SUITE  "bookworm"
#define DEBIAN_MIRROR "http://deb.debian.org/debian"
#define DEBIAN_INCLUDE                                                                         \
    "--include=bash,coreutils,ca-certificates,curl,git,python3,openssh-server,openssh-client," \
    "iproute2,"                                                                                \
    "procps,less,vim-tiny,ncurses-base,kmod,mount,netbase"

const struct archive_override debian_overrides[] = {
    {"etc/machine-id", ""},
    {"etc/hostname", "vmdeck\n"},
    {"etc/hosts", "127.0.0.1 localhost\n127.0.1.1 vmdeck\n::1 localhost ip6-localhost\n"},
    {"etc/resolv.conf", "nameserver 192.168.127.1\n"},
    {"etc/ssh/ssh_host_*", NULL},
    {"var/lib/dbus/machine-id", NULL},
    {"var/log/*.log", NULL},
    {"var/log/apt/*", NULL},
    {"var/cache/debconf/*-old", NULL},
    {"var/lib/dpkg/*-old", NULL},
};
const size_t debian_override_count = sizeof debian_overrides / sizeof debian_overrides[0];

/* $1 is the new root; %s the kernel's meta package, which depends on the one of a version. */
static const char kernel_hook[] =
    "chroot \"$1\" sh -e -c '"
    "mkdir /.kernel; chown _apt /.kernel; cd /.kernel; "
    "package=$(apt-cache depends --no-recommends %s |"
    " sed -n \"s/^ *Depends: \\(linux-image-[0-9].*\\)/\\1/p\" | head -n 1); "
    "apt-get download \"$package\"; "
    "dpkg-deb -x ./*.deb unpacked; "
    "mkdir -p /usr/lib/modules; "
    "mv unpacked/lib/modules/* /usr/lib/modules/; "
    "mv unpacked/boot/vmlinuz-* /boot/; "
    "cd /; rm -rf /.kernel; "
    "depmod \"${package#linux-image-}\"' >&2";

/* What mmdebstrap says when it begins something, and how many lines that takes. */
static const struct {
    const char *line;
    const char *step;
    unsigned per_mille, lines;
} stages[] = {
    {"", "starting", 0, 5},
    {"I: running apt-get update", "reading the package lists", 10, 10},
    {"I: downloading packages", "downloading the base system", 60, 235},
    {"I: extracting archives", "unpacking the base system", 130, 2},
    {"I: installing essential", "installing the base system", 180, 630},
    {"I: installing remaining", "installing packages", 450, 590},
    {"I: running --customize-hook", "adding the kernel", 850, 15},
    {"I: cleaning", "packing", 920, 10},
    {NULL, NULL, 1000, 0},
};

static const char *const network_signs[] = {
    "Temporary failure resolving", "Could not resolve", "Could not connect",
    "Network is unreachable",      "Unable to connect", "Connection timed out",
    "Connection refused",          "No route to host",
};

struct listener {
    const struct debian_job *job;
    size_t stage;
    unsigned lines;             /* in this stage */
    char network[RUN_LINE_MAX]; /* the first line that says there is no network */
    char first[RUN_LINE_MAX];   /* the first error */
    char last[RUN_LINE_MAX];    /* the last line */
};

static void keep(char slot[RUN_LINE_MAX], const char *line)
{
    if (slot[0] == '\0')
        snprintf(slot, RUN_LINE_MAX, "%s", line);
}

static void listen_line(void *context, const char *line)
{
    struct listener *listener = context;
    line += strspn(line, " ");
    log_debug(LOG_IMAGE, "mmdebstrap: %s", line);
    for (size_t i = 0; i < sizeof network_signs / sizeof network_signs[0]; i++)
        if (strstr(line, network_signs[i]) != NULL)
            keep(listener->network, line);
    if (str_starts(line, "E: ") || str_starts(line, "unshare: "))
        keep(listener->first, line);
    snprintf(listener->last, sizeof listener->last, "%s", line);
    listener->lines++;
    for (size_t i = listener->stage + 1; stages[i].line != NULL; i++)
        if (str_starts(line, stages[i].line)) {
            listener->stage = i;
            listener->lines = 0;
        }
    const struct debian_job *job = listener->job;
    unsigned from = stages[listener->stage].per_mille;
    unsigned span = stages[listener->stage + 1].per_mille - from;
    unsigned expected = stages[listener->stage].lines;
    unsigned done = listener->lines < expected ? listener->lines : expected;
    if (job->progress != NULL)
        job->progress(job->context, from + span * done / expected, stages[listener->stage].step);
}

static int listen_failure(const struct listener *listener, struct error *err)
{
    if (listener->network[0] != '\0')
        return error_set(err, ENETUNREACH, "cannot reach the Debian mirror (%s): %.300s",
                         DEBIAN_MIRROR, listener->network);
    if (strstr(listener->first, "/etc/sub") != NULL) {
        const struct passwd *user = getpwuid(getuid());
        return error_set(err, EPERM,
                         "you have no subordinate user ids (as root: usermod --add-subuids "
                         "100000-165535 --add-subgids 100000-165535 %s)",
                         user != NULL ? user->pw_name : "USER");
    }
    if (str_starts(listener->first, "unshare: unshare failed"))
        return error_set(err, EPERM,
                         "you may not make user namespaces: %s (run as root, or have the "
                         "administrator allow it)",
                         listener->first);
    if (strstr(listener->first, "No space left") != NULL ||
        strstr(listener->last, "No space left") != NULL)
        return error_set(err, ENOSPC, "no space left in %s (set TMPDIR to a larger place)",
                         listener->job->directory);
    return error_set(err, EIO, "mmdebstrap failed: %.600s",
                     listener->first[0] != '\0' ? listener->first : listener->last);
}

static int debian_check(struct error *err)
{
    static const struct {
        const char *program, *package;
        bool user; /* needed by ordinary users only */
    } needed[] = {
        {"mmdebstrap", "mmdebstrap", false},
        {"unshare", "util-linux", false},
        {"newuidmap", "uidmap", true},
    };
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (needed[i].user && geteuid() == 0)
            continue;
        CLEAN_FREE char *found = process_find(needed[i].program);
        if (found == NULL)
            return error_set(err, ENOENT, "%s is not installed (apt install %s)", needed[i].program,
                             needed[i].package);
    }
    return 0;
}

/* Ours, but with messages that can be recognised, the work directory and the system's tools. */
static int debian_environment(const char *directory, struct strv *env)
{
    static const char *const replaced[] = {"LC_ALL=", "LANG=", "LANGUAGE=", "TMPDIR=", "PATH="};
    extern char **environ;
    int rc = 0;
    for (char **item = environ; *item != NULL && rc == 0; item++) {
        bool skip = false;
        for (size_t i = 0; i < sizeof replaced / sizeof replaced[0]; i++)
            skip = skip || str_starts(*item, replaced[i]);
        if (!skip)
            rc = strv_add(env, *item);
    }
    const char *path = getenv("PATH");
    if (rc == 0)
        rc = strv_add(env, "LC_ALL=C.UTF-8");
    if (rc == 0)
        rc = strv_addf(env, "TMPDIR=%s", directory);
    return rc < 0 ? rc
                  : strv_addf(env, "PATH=%s:/usr/sbin:/usr/bin:/sbin:/bin",
                              path != NULL ? path : "/usr/local/bin");
}

static int debian_command(const struct debian_job *job, struct strv *argv)
{
    static const char *const root[] = {"unshare",      "--mount", "--pid",      "--fork",
                                       "--kill-child", "--",      "mmdebstrap", "--mode=root"};
    static const char *const user[] = {"unshare", "--user",     "--map-root-user", "--map-auto",
                                       "--mount", "--pid",      "--fork",          "--kill-child",
                                       "--",      "mmdebstrap", "--mode=unshare"};
    static const char *const options[] = {
        "--variant=minbase",
        "--format=tar",
        "--verbose",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/info/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-include=/usr/share/locale/locale.alias",
    };
    bool arm = strcmp(job->arch, "aarch64") == 0;
    const char *kernel = arm ? "linux-image-cloud-arm64" : "linux-image-cloud-amd64";
    bool is_root = geteuid() == 0;
    const char *const *how = is_root ? root : user;
    size_t count = is_root ? sizeof root / sizeof root[0] : sizeof user / sizeof user[0];
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = strv_add(argv, how[i]);
    for (size_t i = 0; i < sizeof options / sizeof options[0] && rc == 0; i++)
        rc = strv_add(argv, options[i]);
    if (rc == 0)
        rc = strv_add(argv, DEBIAN_INCLUDE);
    CLEAN_BUF struct buf hook = {0};
    if (rc == 0)
        rc = buf_printf(&hook, kernel_hook, kernel);
    if (rc == 0)
        rc = strv_addf(argv, "--customize-hook=%s", buf_string(&hook));
    if (rc == 0)
        rc = strv_addf(argv, "--architectures=%s", arm ? "arm64" : "amd64");
    if (rc == 0)
        rc = strv_add(argv, DEBIAN_SUITE);
    return rc < 0 ? rc : strv_add(argv, "-");
}

int debian_archive(const struct debian_job *job, struct error *err)
{
    int rc = debian_check(err);
    if (rc < 0)
        return rc;
    CLEAN_STRV struct strv argv = {0};
    CLEAN_STRV struct strv env = {0};
    if (debian_command(job, &argv) < 0 || debian_environment(job->directory, &env) < 0)
        return error_set(err, ENOMEM, "out of memory");
    CLEAN_FREE struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return error_set(err, ENOMEM, "out of memory");
    listener->job = job;
    rc = run_program(
        &(struct run){
            .argv = (const char *const *)argv.items,
            .env = (const char *const *)env.items,
            .out = job->tar,
            .line = listen_line,
            .context = listener,
            .cancel = job->cancel,
        },
        err);
    return rc == -EIO ? listen_failure(listener, err) : rc;
}
