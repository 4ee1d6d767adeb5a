#!/usr/bin/env bash
# Sessions that become two, stand still, or are put away and taken up again.
. "$(dirname "$0")/lib.sh"
quiet_notice
. "$(dirname "$0")/snapshot_lib.sh"

# --- fork: both go on, and neither sees the other

begin two
inside two 'echo both >/root/both; mkdir /dev/shm/d; echo memory >/dev/shm/d/both'
run "$VMDECK" fork two --name twin
expect 0 '[0-9a-f]{8}' '' 'fork'
inside two 'echo one >/root/mine; echo one >/dev/shm/d/mine; cat /root/both /dev/shm/d/both'
[ "$(cat out)" = $'both\nmemory' ] || fail "the original: $(cat out)"
inside twin 'ls /root/mine /dev/shm/d/mine; cat /root/both /dev/shm/d/both; hostname; echo two >/root/mine'
[ "$(grep -v '^ls:' out)" = $'both\nmemory\ntwin' ] || fail "the fork: $(cat out)"
inside two 'cat /root/mine; hostname'
[ "$(cat out)" = $'one\ntwo' ] || fail "the original after the fork: $(cat out)"
run "$VMDECK" fork two --name twin
refused 'twin' 'a name that is taken'
inside two 'echo alive'
"$VMDECK" stop two

# --- pause

run "$VMDECK" pause twin
expect 0 '' '' 'pause'
[ "$(field twin state)" = paused ] || fail "paused: $(field twin state)"
for verb in 'snapshot twin' 'suspend twin' 'fork twin'; do
    # shellcheck disable=SC2086
    run "$VMDECK" $verb
    refused 'paused' "$verb while it is paused"
done
run "$VMDECK" unpause twin
expect 0 '' '' 'unpause'
inside twin 'cat /root/mine'
[ "$(cat out)" = two ] || fail "after the pause: $(cat out)"
before=$(date +%s%N)
inside twin 'date +%s%N'
now=$(tr -dc 0-9 <out)
[ "$((now + 10000000))" -ge "$before" ] || fail "a pause puts the clock back: by $((before - now)) ns"

# --- suspend and start, more than once

id=$(field twin id)
for i in 1 2; do
    run "$VMDECK" suspend twin
    expect 0 '' '' "suspend $i"
    [ "$(field twin state)" = suspended ] || fail "suspended: $(field twin state)"
    [ "$(ls "$XDG_STATE_HOME/vmdeck/sessions/$id" | tr '\n' ' ')" = 'lock suspended.qcow2 ' ] ||
        fail "suspended: $(ls "$XDG_STATE_HOME/vmdeck/sessions/$id")"
    ! pgrep -f "vmdeck-$id" >/dev/null || fail 'suspended, and QEMU runs'
    run "$VMDECK" exec --name twin -- true
    refused 'twin' 'the name of a suspended session'
    run "$VMDECK" start twin
    expect 0 '' '.*' "start $i"
    [ "$(field twin state)" = running ] && [ "$(field twin id)" = "$id" ] || fail "start: $("$VMDECK" list)"
    inside twin "cat /root/mine /dev/shm/d/both; echo again >>/root/mine"
    [ "$(head -1 out)" = two ] && [ "$(wc -l <out)" -eq $((i + 1)) ] || fail "started $i: $(cat out)"
done
run "$VMDECK" start twin
refused 'not suspended' 'start of one that runs'

# is_suspended: in the end, whether the host that was killed had it running already or not
is_suspended() {
    local i
    for ((i = 0; i < 100; i++)); do
        state=$(field twin state)
        [ "$state" != suspended ] || return 0
        sleep 0.1
    done
    fail "$1: $state"
}

# a session whose host is killed while it takes it up, or afterwards, can still be taken up
run "$VMDECK" suspend twin
for pause in 0 0.02 0.05; do
    "$VMDECK" start twin >/dev/null 2>&1 &
    client=$!
    for ((i = 0; i < 200; i++)); do
        [ -z "$(our_hosts)" ] || break
        sleep 0.01
    done
    sleep $pause
    kill_hosts
    wait "$client"
    is_suspended 'killed while it was taken up'
done
for what in 'a killed start' 'a kill'; do
    run "$VMDECK" start twin
    expect 0 '' '.*' "start after $what"
    inside twin 'cat /dev/shm/d/both'
    [ "$(cat out)" = memory ] || fail "after $what: $(cat out)"
    [ "$what" = 'a kill' ] && break
    kill_hosts
    is_suspended 'killed while it ran'
done
run "$VMDECK" suspend twin
run "$VMDECK" stop twin
expect 0 '' '' 'stop of a suspended session'

"$VMDECK" stop --all
nothing_left 'suspended sessions'
finish
