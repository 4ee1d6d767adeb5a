#!/usr/bin/env bash
# Everything is killed at any moment of a snapshot: there is a whole file or none, nothing else
# stays, and a session that lives is as it was.
. "$(dirname "$0")/lib.sh"
quiet_notice
. "$(dirname "$0")/snapshot_lib.sh"

mkdir there
session_host() { field "$1" pid; }

# start_one: a session `one` with 8 MB of memory that do not compress, and a mark on its disk.
start_one() {
    [ -z "$(field one id)" ] || return 0
    begin one
    inside one 'head -c 8000000 /dev/urandom >/dev/shm/x; sync; sha256sum </dev/shm/x >/root/mark; cat /root/mark'
    mark=$(cut -c1-64 out)
}
intact() { # SESSION WHAT
    inside "$1" 'sha256sum </dev/shm/x; cat /root/mark'
    [ "$(cut -c1-64 out | uniq)" = "$mark" ] || fail "$2: $(cat out)"
}

# How long it takes when nobody comes between, in milliseconds.
start_one
from=$(date +%s%N)
"$VMDECK" snapshot one --keep-running --output "$PWD/whole.qcow2" >/dev/null || fail 'a snapshot'
span=$((($(date +%s%N) - from) / 1000000))
moment() { awk -v s=$span -v r=$RANDOM 'BEGIN { print s * r / 32768 / 1000 }'; } # any one
whole=0

for i in {1..10}; do
    start_one
    going_on=$([ $((i % 2)) -eq 0 ] && echo --keep-running)
    host=$(session_host one)
    qemu=$(pgrep -P "$host" 2>/dev/null)
    moment=$(moment)
    # shellcheck disable=SC2086
    "$VMDECK" snapshot one $going_on --output "$PWD/there/$i.qcow2" >/dev/null 2>&1 &
    client=$!
    sleep "$moment"
    case $((i % 5)) in
    0) kill -KILL "$client" ;;
    1) kill -KILL "$host" ;;
    2) kill -KILL "$qemu" ;;
    3) kill -TERM "$client" ;;
    4) kill -KILL "$client" "$host" "$qemu" ;;
    esac 2>/dev/null
    wait "$client" 2>/dev/null
    # The host ends, or gives the snapshot up, or completes it: all of it is over when it takes
    # another request, or is gone.
    for ((n = 0; n < 600; n++)); do
        left=$(ls -A there)
        if ! kill -0 "$host" 2>/dev/null; then
            "$VMDECK" list >/dev/null # cleans up
            break
        fi
        "$VMDECK" pause one >/dev/null 2>&1 && "$VMDECK" unpause one >/dev/null 2>&1 && break
        sleep 0.05
    done
    left=$(ls -A there)
    case $left in
    '') ;;
    "$i.qcow2")
        whole=$((whole + 1))
        run "$VMDECK" exec --resume "there/$left" -- cat /root/mark
        expect 0 "$mark.*" '' "the snapshot of killing number $i"
        rm "there/$left"
        ;;
    *) fail "killing number $i leaves $left" ;;
    esac
    [ -z "$(field one id)" ] || intact one "the session after killing number $i"
    [ -z "$(find "$XDG_STATE_HOME/vmdeck/sessions" -name 'state*')" ] ||
        fail "killing number $i: left: $(find "$XDG_STATE_HOME/vmdeck/sessions")"
done
printf '%d of 10 snapshots were whole, of %d ms\n' $whole $span

# Suspending, and its host is killed: the session has ended, or can be taken up.
for i in 1 2 3; do
    start_one
    id=$(field one id)
    host=$(session_host one) moment=$(moment)
    "$VMDECK" suspend one >/dev/null 2>&1 &
    client=$!
    sleep "$moment"
    kill -KILL "$host" 2>/dev/null
    wait "$client"
    "$VMDECK" list >/dev/null
    case $(field one state) in
    suspended)
        "$VMDECK" start one 2>err || fail "start after killed suspending $i: $(cat err)"
        intact one "suspended although its host was killed"
        ;;
    '') [ ! -e "$XDG_STATE_HOME/vmdeck/sessions/$id" ] || fail 'a killed host has left its directory' ;;
    *) fail "suspending was killed: $(field one state)" ;;
    esac
done

"$VMDECK" stop --all
nothing_left 'killed snapshots'
finish
