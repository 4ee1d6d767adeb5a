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

# The session hosts of this test (others run beside it), with the process that detaches one.
our_hosts() {
    local pid
    for pid in $(pgrep -f 'vmdeck session-host'); do
        ! grep -qzF "$XDG_STATE_HOME" "/proc/$pid/environ" 2>/dev/null || echo "$pid"
    done
}

# a session that is being taken up when its host is killed can still be taken up
run "$VMDECK" suspend twin
for pause in 0 0.02 0.05; do
    "$VMDECK" start twin >/dev/null 2>&1 &
    client=$!
    for ((i = 0; i < 200; i++)); do
        [ -z "$(our_hosts)" ] || break
        sleep 0.01
    done
    sleep $pause
    state=$(field twin state)
    [ "$state" != running ] || break # too late
    # shellcheck disable=SC2046
    kill -KILL $(our_hosts)
    wait "$client"
    state=$(field twin state)
    case $state in
    suspended) ;;
    '') break ;; # it ran already: then it is dead
    *) fail "killed while it was taken up: $state" ;;
    esac
done
wait "$client"
if [ "$(field twin state)" = suspended ]; then
    run "$VMDECK" start twin
    expect 0 '' '.*' 'start after a killed start'
fi
if [ -n "$state" ]; then
    inside twin 'cat /dev/shm/d/both'
    [ "$(cat out)" = memory ] || fail "after killed starts: $(cat out)"
    run "$VMDECK" suspend twin
    run "$VMDECK" stop twin
    expect 0 '' '' 'stop of a suspended session'
fi

"$VMDECK" stop --all
nothing_left 'suspended sessions'
finish
