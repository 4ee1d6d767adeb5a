# shellcheck shell=bash
# What the tests of snapshots share. Sourced behind lib.sh.

# shellcheck disable=SC2154 # lib.sh sets status
begin() { # NAME OPTION…: a session that stays
    "$VMDECK" bash --detached --keep --memory 192M --name "$@" >begun 2>err ||
        fail "start $*: $(cat err)"
}
resume() { # NAME SNAPSHOT OPTION…
    "$VMDECK" bash --detached --keep --name "$1" --resume "${@:2}" >begun 2>err ||
        fail "resume $*: $(cat err)"
}

# inside SESSION SCRIPT: runs it in a new terminal of the session; what it prints is in `out`.
inside() {
    printf '%s\n' "$2" | "$VMDECK" cp - "$1:/tmp/script" 2>err
    script -qec "'$VMDECK' attach '$1' --new -- sh -c 'sh /tmp/script >/tmp/output 2>&1'" /dev/null \
        </dev/null >terminal
    "$VMDECK" cp "$1:/tmp/output" - >out 2>>err || fail "in $1: $2: $(cat err terminal)"
}
field() { # SESSION NAME
    "$VMDECK" list --json | python3 -c '
import json, sys
for session in json.load(sys.stdin):
    if sys.argv[1] in (session["id"], session["name"]):
        print(session[sys.argv[2]])' "$1" "$2"
}
refused() { # REGEX WHAT: the last run failed with one line that has it
    [ "$status" -eq 125 ] && [ "$(wc -l <err)" -eq 1 ] && [ ! -s out ] && grep -qE -- "$1" err ||
        fail "$2: status $status: $(cat out err)"
}
