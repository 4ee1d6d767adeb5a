#!/usr/bin/env bash
# Root in the guest kills the relay of its mounts: they come back, memory with its files, nobody
# hangs, and the log says what happened; also under load, and until the guest has no more of them.
. "$(dirname "$0")/lib.sh"
in_session=$(dirname "$(readlink -f "$0")")/in_session.py
quiet_notice
inside() { timeout 60 "$in_session" "$id" bash -c "$1"; } # COMMAND in the session
is() { [ "$1" = "$2" ] || fail "$3: '$1' is not '$2'"; } # GOT EXPECTED WHAT
# In the guest: until the relay is another one and the mount answers.
back='old=$(pgrep -x vmdeck-vfs); kill -9 $old
until [ "$(pgrep -x vmdeck-vfs)" != "$old" ] && cat /files/file 2>/dev/null; do read -rt 0.02 <> <(:); done'

mkdir src && echo text >src/file
"$VMDECK" bash --detached --name killed --mount-hostfs src:/files --mount-memfs /mem --mount-memfs /files/inner \
    --shadow '/files/private=tmpfs' >/dev/null || { fail 'bash --detached' && finish; }
id=$("$VMDECK" list --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')

# --- once, with files open and a directory that somebody works in
inside "echo memory >/mem/x; echo inner >/files/inner/x; echo private >/files/private
    cd /files; exec 3</files/file 4>>/files/log; echo before >&4
    $back
    cat <&3 && echo 'an open file goes on'; echo after >&4 && echo 'an open file is written'
    ls . && echo 'the old directory answers'
    cd /; cat /mem/x /files/inner/x /files/private; echo new >/files/new; cat /files/log" >out 2>err
is "$(tr '\n' ' ' <out)" 'text memory inner private before ' "after the relay was killed ($(cat err))"
is "$(grep -c 'not connected' err)" 3 'errors of what was open'
is "$(cat src/new)" new 'written through the new relay'
is "$(grep -c 'has killed the relay' "$XDG_STATE_HOME/vmdeck/log/host.log")" 1 'lines in the log'
is "$("$VMDECK" events --json --type vfs | grep -c '"mounted"')" 6 'events of mounting'

# --- without its guard; under load from both sides
inside 'pkill -9 -x vmdeck-vfs-end'
is "$(inside "$back")" text 'without a guard'
(n=0; while [ ! -e src/enough ]; do echo "$((n++))" >src/counter && mv src/counter src/moved && mv src/moved src/counter; done) &
stirring=$!
cat >src/load <<'L'
while [ ! -e /tmp/enough ]; do
    find /files /mem
    dd if=/dev/zero of=/files/big$1 bs=1M count=4
    ls -l /files/counter /files/moved
done
L
inside 'cp /files/load /tmp; for i in 1 2 3; do setsid sh /tmp/load $i </dev/null >/dev/null 2>&1 & done'
for ((i = 0; i < 4; i++)); do
    is "$(inside "$back")" text "round $i under load"
done
inside "touch /tmp/enough; while pgrep -f '^sh /tmp/load'; do read -rt 0.02 <> <(:); done; true" >/dev/null || fail 'somebody hangs'
touch src/enough && wait "$stirring"
is "$(inside 'grep -l "^State:.*D " /proc/[0-9]*/status')" '' 'processes that wait for ever'

# --- the session goes on as before
run "$VMDECK" umount killed /files/inner
expect 0 '' '' 'umount'
run "$VMDECK" fork killed --name twin
[ "$status" -eq 0 ] || fail "fork: $(cat err)"
"$VMDECK" stop twin || fail 'stop twin'
is "$(inside 'cat /mem/x /files/file' | tr '\n' ' ')" 'memory text ' 'after a fork'

# --- who kills them all has no mounts any more, and is told
for ((i = 0; i < 1000; i++)); do
    ! grep -q 'again and again' "$XDG_STATE_HOME/vmdeck/log/host.log" || break
    inside 'pkill -9 -x vmdeck-vfs'
done
inside '! cat /mem/x 2>/dev/null' || fail 'relays are started for ever'
run "$VMDECK" mount killed --memfs /more
expect 125 '' '.*lost its connection to the file server.*' 'a mount without a relay'
is "$(inside 'echo alive')" alive 'the guest'
"$VMDECK" stop killed || fail 'stop killed'
nothing_left mount_relay
finish
