#!/usr/bin/env bash
# Snapshots as a user sees them, through tmux: the same shell in the middle of a line, with its
# screen, its other terminal and what runs in it; as often as one likes, and from anywhere.
. "$(dirname "$0")/lib.sh"
quiet_notice
. "$(dirname "$0")/tmux.sh"

sum() { sha256sum <"$1" | cut -d' ' -f1; }
between() { # TIME BEFORE AFTER WHAT, in ns: within 10 ms of what the host's clock said
    [ "$1" -gt $(($2 - 10000000)) ] && [ "$1" -lt $(($3 + 10000000)) ] ||
        fail "$4: the guest's clock is off by $((($1 - $3) / 1000)) us at least"
}

# --- a shell with all that it can have

pane a 80 24
line a 'v first bash --name demo --env GIVEN=before'
see a '#$' 'the prompt of the guest'
line a 'PS1="guest> "; secret=kept-in-memory; f() { echo from-a-function; }; cd /usr/share'
line a 'sleep 5000 & sleep 6000 & echo unusual-history-line >/dev/null'
line a 'clear; seq 1 100; echo end-$((1 + 1))'
see a '^end-2' 'a hundred lines'

# A second terminal, with a program that watches the clocks; it writes down when one goes backwards
# and keeps counting.
cat >watch.py <<'P'
import time
last = time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
count = 0
while True:
    now = time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    for i in range(3):
        if now[i] < last[i]:
            print("backwards", i, now[i] - last[i], file=open("/tmp/backwards", "a"), flush=True)
    last = now
    count += 1
    if count % 5000 == 0:  # some a second: all of them stay in the scrollback of tmux
        print("count", count, end="\r\n", flush=True)
P
"$VMDECK" cp watch.py demo:/tmp/watch.py || fail 'cp'
pane b 60 15
line b 'v second attach demo --new -- sh -c "echo second-terminal; exec python3 /tmp/watch.py"'
see b '^count 10000' 'the second terminal'
keys b C-]
left b second

# --- half a line, and the session is put away

t send-keys -t a: -l 'echo half-$((6 * '
see a '^guest> echo half' 'half a line'
keys a C-]
left a first
snapshot=$("$VMDECK" snapshot demo --name middle 2>err) || fail "snapshot: $(cat err)"
[[ $snapshot =~ ^[0-9a-f]{8}$ ]] || fail "snapshot printed '$snapshot'"
[ "$("$VMDECK" list --json)" = '[]' ] || fail 'the session has not ended'
nothing_left 'a snapshot'
file=$XDG_DATA_HOME/vmdeck/snapshots/middle.qcow2
before=$(sum "$file")

# --- the same shell again

wiped a
line a 'v third bash --resume middle --name again --keep'
see a '^guest> echo half-\$\(\(6 \* *$' 'the half-typed line'
history_of a | grep -xE '[0-9]+' | cmp -s - <(seq 1 100) ||
    fail "the scrollback is not 1 to 100: $(history_of a | head -40)"
line a '7))'
see a '^half-42' 'the rest of the line'
line a 'clear; echo $secret $GIVEN $PWD; f; jobs; history | grep -c unusual-history; echo over-$((2 + 2))'
see a '^over-4' 'the shell'
for text in 'kept-in-memory before /usr/share' from-a-function '\[1\]- +Running +sleep 5000 &' \
    '\[2\]\+ +Running +sleep 6000 &' 2; do
    shows a "^$text\$" || fail "no '$text': $(screen a)"
done

# the running program, and that no clock went backwards for it
"$VMDECK" cp again:/tmp/backwards - >out 2>&1 && fail "a clock went backwards: $(cat out)"
line b 'clear; v fourth attach again --new -- date +now-%s%N'
left b fourth
line a 'exit 3'
left a third 3
wiped a
line a 'v fifth attach again'
see a '^count [0-9]+' 'the second terminal after resuming'
showed a '^second-terminal$' || fail "the second terminal's screen: $(history_of a)"
first=$(screen a | grep -oE '^count [0-9]+' | tail -1)
going_on() { [ "$(screen a | grep -oE '^count [0-9]+' | tail -1)" != "$first" ]; }
await 'the running program stands still' going_on
keys a C-]
left a fifth
"$VMDECK" stop again

# --- many from one: other random numbers, the right time, files of their own

for i in 1 2 3; do
    "$VMDECK" exec --resume "$snapshot" -- sh -c 'date +%s%N; od -An -N16 -tx1 /dev/urandom
        cat /proc/sys/kernel/random/uuid; ls /root; touch /root/mine' >many.$i 2>&1 &
    many+=($!)
done
wait "${many[@]}"
for row in 2 3; do
    [ "$(sed -sn ${row}p many.? | sort -u | wc -l)" -eq 3 ] || fail "the same in all: $(cat many.?)"
done
[ "$(sed -sn '4,$p' many.?)" = '' ] || fail "a file of another: $(cat many.?)"
for i in 1 2; do
    from=$(date +%s%N)
    run "$VMDECK" exec --resume middle -- date +%s%N
    to=$(date +%s%N)
    expect 0 '[0-9]+' '' 'the date'
    between "$(cat out)" "$from" "$to" 'resumed'
done

# what is given now goes over what was given then
run "$VMDECK" exec --resume middle --env GIVEN=now --env OTHER=too -- sh -c 'echo $GIVEN $OTHER'
expect 0 'now too' '' 'environment'
run "$VMDECK" exec --resume middle --cold -- sh -c 'echo $GIVEN; ps ax | grep "[s]leep 5000"; true'
expect 0 before '' '--cold boots from the disk'

[ "$(sum "$file")" = "$before" ] || fail 'being resumed has changed the snapshot'

# --- moved

mkdir elsewhere && mv "$file" elsewhere/x.qcow2
run "$VMDECK" exec --resume elsewhere/x.qcow2 -- cat /proc/sys/kernel/hostname
expect 0 'demo' '' 'a snapshot that was moved'
run "$VMDECK" exec --resume middle -- true
expect 125 '' "vmdeck exec: --resume: .*middle\.qcow2.*(moved\?|gone).*" 'a snapshot that is not where it was'

# --- what floods a terminal meanwhile goes on as well, generation after generation

line a 'clear; v sixth bash --name flood -- sh -c "i=0; while :; do i=\$((i+1)); echo flood-\$i; done"'
see a 'flood-[0-9]{4}' 'a flood'
keys a C-]
left a sixth
for i in 1 2 3; do
    run "$VMDECK" snapshot flood --output "flood$i.qcow2"
    [ "$status" -eq 0 ] || fail "snapshot in a flood: $(cat err)"
    line a "clear; v flood$i bash --name flood --resume flood$i.qcow2"
    see a 'flood-[0-9]{4}' "the flood, resumed $i times"
    first=$(screen a | grep -oE '^flood-[0-9]+$' | tail -1)
    flowing() { [ "$(screen a | grep -oE '^flood-[0-9]+$' | tail -1)" != "$first" ]; }
    await "the flood has dried up" flowing
    keys a C-]
    left a "flood$i"
done
"$VMDECK" stop --all
nothing_left 'snapshots'
finish
