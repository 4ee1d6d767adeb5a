# shellcheck shell=bash
# What ./run and ./check share: installing the packages that are missing, and building a preset.
# Sourced with `root` set to the top of the checkout and `me` to the script's name.
#
# stdout belongs to the program that is run: everything here talks to stderr, and is silent unless
# something fails or takes long on a terminal. Commands get no stdin, for that belongs to the
# program too. A lock on build/.lock (fd 9, which no child inherits) lets two shells start at once.

# shellcheck disable=SC2154 # me and root are the caller's
fail() {
    printf '%s: %s\n' "$me" "$*" >&2
    return 1
}

# quiet WHAT COMMAND…: the command's output is shown only if it fails, the end of it; on a terminal
# its newest line stands there while it runs.
quiet() {
    local what=$1 log line status
    shift
    log=$(mktemp) || return 1
    if [ -t 2 ]; then
        "$@" </dev/null 2>&1 9>&- | while IFS= read -r line; do
            printf '%s\n' "$line" >>"$log"
            line="$what: $line"
            printf '\r\033[K%s' "${line:0:78}" >&2
        done
        status=${PIPESTATUS[0]}
        printf '\r\033[K' >&2
    else
        "$@" </dev/null >"$log" 2>&1 9>&-
        status=$?
    fi
    if [ "$status" -ne 0 ]; then
        tail -n 60 "$log" >&2
        fail "$what failed, see above"
    fi
    rm -f "$log"
    return "$status"
}

# install_packages KIND…: those of packages.txt that are of these kinds and missing.
# shellcheck disable=SC2154
install_packages() {
    local kind package rest wanted=() missing=() as_root=() installed
    command -v dpkg-query >/dev/null || return 0 # not Debian: CMake says what it does not find
    while read -r kind package rest; do
        case " $* " in *" $kind "*) wanted+=("$package") ;; esac
    done <"$root/cmake/packages.txt"
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null)
    for package in "${wanted[@]}"; do
        case $'\n'$installed$'\n' in *$'\n'"installed $package"$'\n'*) continue ;; esac
        missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            fail "packages are missing and neither root nor sudo is at hand:" \
                "have an administrator run: apt-get install ${missing[*]}"
            return 1
        fi
        as_root=(sudo)
        [ -t 2 ] || as_root=(sudo -n)
    fi
    # An update may fail on a source that has nothing to do with us: the installation decides.
    quiet "installing packages (${#missing[@]})" "${as_root[@]}" \
        env DEBIAN_FRONTEND=noninteractive sh -c '
            options="-q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0"
            apt-get $options update
            apt-get $options install --yes --no-install-recommends "$@"' sh "${missing[@]}"
}

# Takes the lock until this process ends or execs.
lock_build() {
    local dir=$root/build
    if [ -d "$dir" ] && [ ! -w "$dir" ]; then
        fail "$dir belongs to $(stat -c %U "$dir"): build as that user, or remove the directory"
        return 1
    fi
    mkdir -p "$dir" 2>/dev/null || {
        fail "no place to build: clone the repository to a directory of your own"
        return 1
    }
    { exec 9>"$dir/.lock"; } 2>/dev/null || {
        fail "$dir/.lock belongs to $(stat -c %U "$dir/.lock"): build as that user, or remove $dir"
        return 1
    }
    flock --nonblock 9 && return 0
    [ ! -t 2 ] || printf '%s: waiting for the build that another shell has started\n' "$me" >&2
    flock 9
}

# build PRESET TARGET
build() {
    local dir=$root/build/$1
    if [ -d "$dir" ] && [ ! -w "$dir" ]; then
        fail "$dir belongs to $(stat -c %U "$dir"): build as that user, or remove the directory"
        return 1
    fi
    # CMake refuses the cache of a checkout that has been moved or copied.
    if [ -e "$dir/CMakeCache.txt" ] &&
        ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$dir/CMakeCache.txt"; then
        rm -rf "$dir"
    fi
    if [ ! -e "$dir/build.ninja" ]; then
        (cd "$root" && quiet "configuring ($1)" cmake --preset "$1") || return 1
    fi
    (cd "$root" && quiet "building ($1)" cmake --build "build/$1" --target "$2")
}

# Everything that a build of build/default/vmdeck depends on, by name, size, inode and times: as
# long as this text stays the same there is nothing to install and nothing to build, and neither
# apt's database nor Ninja has to be asked. Files that appear or vanish change it like any other.
fingerprint() {
    (cd "$root" && find . /var/lib/dpkg/status build/default/vmdeck build/default/CMakeCache.txt \
        build/default/build.ninja \( -path ./build -o -path ./.git \) -prune -o \
        ! -type d -printf '%p %i %s %T@ %C@\n' 2>/dev/null)
}
