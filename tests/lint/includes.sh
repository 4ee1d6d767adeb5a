#!/usr/bin/env bash
# A forbidden include must not compile. For each folder: a header of every folder that it may not
# know is included with the flags of one of its own sources, and the compiler has to refuse; its
# own have to compile, or the refusals would prove nothing.
. "$(dirname -- "$0")/common.sh"

declare -A knows=(
    [base]="base"
    [agent]="agent base"
    [net]="net base"
    [vm/image]="vm/image agent base"
    [vm/vfs]="vm/vfs agent base"
    [vm]="vm vm/vfs vm/image agent base"
    [session/protocol]="session/protocol base"
    [session/store]="session/store base"
    [session/term]="session/term base"
    [session/host]="session/host session/protocol session/store session/term net vm vm/vfs vm/image agent base"
    [session/cli]="session/cli session/host session/protocol session/store session/term tui net vm vm/vfs vm/image agent base"
    [tui]="tui session/protocol session/store session/term base"
)

# The include and macro options of a source of folder $1, one a line, as compile_commands.json has
# them (a quote in the command is \" there).
options_of() {
    local command word
    command=$(awk -v start="\"file\": \"$source/$1/" '
        /"command": / { command = $0 }
        (at = index($0, start)) && index(substr($0, at + length(start)), "/") == 0 { print command; exit }' \
        "$build/compile_commands.json" | sed -e 's/^ *"command": "//' -e 's/",$//' -e 's/\\"/"/g')
    eval "set -- $command"
    for word; do
        case $word in -I* | -D*) printf '%s\n' "$word" ;; esac
    done
}

compiles() { # HEADER OPTION…: away from the sources, or "" would be searched there too
    printf '#include "%s"\n' "$1" | (cd / && exec gcc -std=gnu11 -fsyntax-only -w "${@:2}" -x c -)
}

for folder in $(files '*.h' | sed -e 's|^\./||' -e 's|/[^/]*$||' | sort -u); do
    case $folder in tests*) continue ;; esac
    [ -n "${knows[$folder]-}" ] || wrong "folder without a line in includes.sh" <<<"$folder"
done

checked=0
for folder in "${!knows[@]}"; do
    mapfile -t options < <(options_of "$folder")
    [ ${#options[@]} -gt 0 ] || continue # nothing is compiled there
    for other in "${!knows[@]}"; do
        header=$(find "$other" -maxdepth 1 -name '*.h' 2>/dev/null | sort | head -n 1)
        [ "$other" != agent ] || header=agent/wire.h
        [ -n "$header" ] || continue
        case " ${knows[$folder]} " in
        *" $other "*)
            [ "$other" = "$folder" ] || continue
            wrong "$folder cannot include its own $header" < <(
                compiles "$header" "${options[@]}" 2>&1)
            ;;
        *)
            checked=$((checked + 1))
            if compiles "$header" "${options[@]}" 2>/dev/null; then
                wrong "compiles, but must not" <<<"$folder: #include \"$header\""
            fi
            ;;
        esac
    done
done
[ "$checked" -gt 0 ] || wrong "nothing to check" <<<"$build/compile_commands.json"
exit "$status"
