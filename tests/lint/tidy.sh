#!/usr/bin/env bash
# clang-tidy over the program and the agent (the tests are cppcheck's and the compiler's). What
# passed is remembered in the build directory by the hash of the file, of the project's headers that
# it includes (Ninja knows them), of the configuration and of clang-tidy's version.
#
# The static analyser is nine tenths of the time; it looks at each function less far ahead, in a
# third of that, unless VMDECK_TIDY=deep asks for all of it (before a release).
. "$(dirname -- "$0")/common.sh"
cache=$build/lint/tidy
mkdir -p "$cache" || exit 1
cd "$build" || exit 1
# The agent is compiled by musl-gcc and not in compile_commands.json; it may include all of these.
agent_options=(-std=c11 -D_GNU_SOURCE "-I$source")
agent_headers=("$source"/agent/*.h "$source"/base/*.h)

depth=()
[ "${VMDECK_TIDY-}" = deep ] ||
    depth=(--extra-arg={-Xclang,-analyzer-config,-Xclang,mode=shallow})

# Run by xargs for each KEY and FILE.
check_file() {
    local output where=("$2" -- "${agent_options[@]}")
    ! grep -qF "\"file\": \"$2\"" "$build/compile_commands.json" || where=(-p "$build" "$2")
    if output=$(clang-tidy --quiet "${depth[@]}" "${where[@]}" 2>&1); then
        : >"$cache/$1"
    else
        grep -vE '^[0-9]+ warnings? (generated|treated)' <<<"$output"
        return 1
    fi
}
if [ "${3-}" = one ]; then
    check_file "$4" "$5"
    exit
fi

version=$(clang-tidy --version; echo "${depth[@]}"; cat "$source/.clang-tidy" "$source/tests/lint/tidy.sh")

declare -A headers # source → the project's files that it includes, one a line
while IFS= read -r line; do
    case $line in
    '') file= ;;
    ' '*)
        line=${line#    }
        if [ -z "$file" ]; then
            file=$line headers[$file]=
        else
            case $line in "$source"/* | headers/*) headers[$file]+=$line$'\n' ;; esac
        fi
        ;;
    *) file= ;;
    esac
done < <(ninja -t deps)

key_of() {
    local names=("$1")
    if [ -n "${headers[$1]-}" ]; then
        while IFS= read -r name; do names+=("$name"); done <<<"${headers[$1]%$'\n'}"
    else
        names+=("${agent_headers[@]}")
    fi
    { printf '%s\n%s\n' "$version" "$1"; cat "${names[@]}"; } | sha256sum | cut -c1-64
}

find "$cache" -type f -mtime +30 -delete
{
    sed -n 's/^ *"file": "\(.*\.c\)",*$/\1/p' compile_commands.json
    printf '%s\n' "$source"/agent/*.c
} | grep -v "^$source/tests/" | sort -u | while IFS= read -r name; do
    key=$(key_of "$name")
    [ -e "$cache/$key" ] || printf '%s\0%s\0' "$key" "$name"
done | xargs -0 -r -n 2 -P "$(nproc)" "$source/tests/lint/tidy.sh" "$source" "$build" one
