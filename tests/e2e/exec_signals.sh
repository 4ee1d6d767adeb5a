#!/usr/bin/env bash
# exec: signals, time-outs, and clients that are killed at any moment.
. "$(dirname "$0")/lib.sh"
quiet_notice

# begin SCRIPT: runs it in the background, until it has said "ready". What it says goes to log and
# err, its client's pid to $client.
begin() {
    rm -f log
    "$VMDECK" exec -- sh -c "$1" >log 2>err &
    client=$!
    await 'not ready' grep -q ready log
}

# The first Ctrl-C is the command's, which may handle it.
begin 'trap "echo caught; exit 42" INT; echo ready; while :; do sleep 0.1; done'
kill -INT $client
wait $client
[ $? -eq 42 ] && grep -q caught log || fail "first SIGINT: $(cat log err)"

# The second ends the VM.
begin 'trap "echo ignored" INT; echo ready; while :; do sleep 0.1; done'
kill -INT $client
await 'the first SIGINT of two' grep -q ignored log
kill -INT $client
wait $client
[ $? -eq 130 ] || fail 'second SIGINT'
nothing_left 'second SIGINT'

begin 'echo ready; sleep 1000'
kill -TERM $client
wait $client
[ $? -eq 143 ] || fail 'SIGTERM'
nothing_left 'SIGTERM'

run "$VMDECK" exec --timeout 5 -- sleep 1000
expect 124 '' 'vmdeck exec: timed out after 5 s' 'time-out'
run "$VMDECK" exec --timeout 5 -- sh -c 'trap "" TERM; while :; do sleep 1; done'
[ "$status" -eq 124 ] || fail "time-out of one who ignores SIGTERM: $status"

# Killed at ten moments from the very start to the running command: nothing stays.
for moment in 0 0.02 0.05 0.1 0.15 0.2 0.3 0.5 0.9 2; do
    "$VMDECK" exec -- sh -c 'yes' >/dev/null 2>err &
    sleep "$moment"
    kill -KILL $!
    wait $! 2>/dev/null
done
nothing_left 'SIGKILL'

# QEMU killed: the client says so, with 125.
begin 'echo ready; sleep 1000'
pkill -KILL -f "qemu-system.*$XDG_STATE_HOME"
wait $client
[ $? -eq 125 ] || fail 'QEMU killed: status'
grep -q 'QEMU was killed by signal 9' err || fail "QEMU killed: $(cat err)"
nothing_left 'QEMU killed'

# The session host killed: QEMU goes with it; the client says so.
begin 'echo ready; sleep 1000'
kill_hosts
wait $client
[ $? -eq 125 ] || fail 'host killed: status'
grep -q 'session host went away' err || fail "host killed: $(cat err)"
timeout 10 bash -c 'while pgrep -f "qemu-system.*$XDG_STATE_HOME" >/dev/null; do sleep 0.1; done' ||
    fail 'host killed: QEMU stays'
finish
