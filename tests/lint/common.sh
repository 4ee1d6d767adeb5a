# shellcheck shell=bash
# What the checks share. Each is called as <check>.sh SOURCE BUILD and prints what is wrong.
set -u
source=$1
# shellcheck disable=SC2034 # the checks use them
build=$2 status=0
cd "$source" || exit 1

# files PATTERN…: the checkout's files with such a name, without what is built.
files() {
    local pattern names=()
    for pattern; do names+=(-o -name "$pattern"); done
    find . \( -path ./build -o -path ./.git \) -prune -o -type f \( "${names[@]:1}" \) -print | sort
}

# wrong MESSAGE <LINES: each line is something wrong.
wrong() {
    local line
    while IFS= read -r line; do
        printf '%s: %s\n' "$line" "$1"
        # shellcheck disable=SC2034
        status=1
    done
}
