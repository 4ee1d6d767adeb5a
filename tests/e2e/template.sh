#!/usr/bin/env bash
# Forks: made from a template, different from one another in all that must differ, and a cache that
# is damaged, contended or cut off costs time but never a session.
. "$(dirname "$0")/lib.sh"

# A cache of our own: what is done to it here is nothing for the other tests.
rm -f "$XDG_CACHE_HOME/vmdeck/templates"
cache=$XDG_CACHE_HOME/vmdeck/templates
log=$XDG_STATE_HOME/vmdeck/log/host.log

templates() { find "$cache" -mindepth 1 -maxdepth 1 -type d "$@" 2>/dev/null; }
template_count() { templates -name '[0-9a-f]*' | wc -l; }
left_overs() { templates -name '.*'; }

# shape TEXT: the command line of the VM that is called TEXT: was a kernel loaded, or a state?
shape() {
    local line
    line=$(pgrep -af "qemu-system.*process=vmdeck-$1" | head -1)
    case $line in
    *" -incoming fd:"*" -kernel "* | *" -kernel "*" -incoming fd:"*) echo both ;;
    *" -kernel "*) echo boot ;;
    *" -incoming fd:"*) echo fork ;;
    *) echo "none: $line" ;;
    esac
}

# begin NAME OPTION…: a session that stays; its id is in $id.
begin() {
    id=$("$VMDECK" bash --detached --keep --memory 192M --name "$@" 2>err) || fail "start $1: $(cat err)"
}

in_guest() { "$VMDECK" attach "$1" --new -- sh -c "$2"; }

# --- nothing is written by a cold session

run "$VMDECK" exec --cold --memory 192M -- true
[ "$status" -eq 0 ] && [ "$(template_count)" -eq 0 ] || fail "--cold made a template: $(templates)"

# --- many at once make one template, and all are forked from it

for i in 1 2 3 4; do
    "$VMDECK" exec --memory 192M -- sh -c 'cat /proc/sys/kernel/random/boot_id /etc/machine-id
        hostname; od -An -N16 -tx1 /dev/urandom; cut -d" " -f22 /proc/$$/stat
        date +%s%N >/root/mine; ls /root' >first.$i 2>&1 &
    first+=($!)
done
for pid in "${first[@]}"; do
    wait "$pid" || fail "one of the first at once: $(cat first.?)"
done
[ "$(template_count)" -eq 1 ] && [ -z "$(left_overs)" ] ||
    fail "concurrent first uses: $(templates)"
for row in 1 2 3 4; do
    [ "$(sed -sn ${row}p first.? | sort -u | wc -l)" -eq 4 ] ||
        fail "forks at once are the same in line $row: $(sed -sn ${row}p first.?)"
done
# when it began, in ticks of the template's clock: it waited there
[ "$(sed -sn 5p first.? | sort -u | wc -l)" -eq 1 ] ||
    fail "the first command of a fork is not the process that waits for it: $(sed -sn 5p first.?)"
[ "$(sed -sn '6,$p' first.? | sort -u)" = mine ] || fail "files of others: $(cat first.?)"
! grep -vqE '^[0-9a-f-]+$|^vmdeck-[0-9a-f]{4}$|^( [0-9a-f]{2}){16}$|^mine$' first.? ||
    fail "what the first said: $(cat first.?)"
template=$(templates -name '[0-9a-f]*')

# --- how a session has started

begin forked && forked=$id
[ "$(shape "$forked")" = fork ] || fail "not forked: $(shape "$forked")"
begin booted --cold && booted=$id
[ "$(shape "$booted")" = boot ] || fail "--cold: $(shape "$booted")"
run "$VMDECK" exec --memory 160M -- true
[ "$status" -eq 0 ] && [ "$(template_count)" -eq 2 ] || fail "another size is another template"
"$VMDECK" stop booted

# --- two forks, one after the other, in all that identifies a machine

begin other
identity='for type in ed25519 ecdsa; do # as ssh-keygen -A does, but for RSA: that takes its time
        rm -f /etc/ssh/ssh_host_${type}_key*; ssh-keygen -q -t $type -N "" -f /etc/ssh/ssh_host_${type}_key
        cut -d" " -f2 /etc/ssh/ssh_host_${type}_key.pub; done
    cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid /etc/machine-id
    od -An -v -w32 -N32 -tx1 /dev/urandom; od -An -v -w16 -N16 -tx1 /dev/random
    python3 -c "import os; print(os.getrandom(16).hex())"'
for name in forked other; do
    "$VMDECK" exec --memory 192M -- sh -c "$identity" >"identity.$name" 2>&1
done
[ "$(wc -l <identity.forked)" -eq "$(wc -l <identity.other)" ] &&
    [ "$(wc -l <identity.forked)" -eq 8 ] && [ -z "$(sort identity.* | uniq -d)" ] ||
    fail "two forks are the same in: $(sort identity.* | uniq -d) of $(cat identity.forked)"

# --- the files that say who it is: written into the room that the template has for them where the
# name is as long as usual, else as if there were none

who() {
    run "$VMDECK" exec --memory 192M "$@" -- sh -c 'hostname; cat /etc/hostname
        sed -n "\$s/^127.0.1.1\t//p" /etc/hosts; wc -l </etc/hosts
        wc -c </etc/machine-id; grep -cE "^[0-9a-f]{32}$" /etc/machine-id'
    [ "$status" -eq 0 ] && [ "$(head -3 out | sort -u | wc -l)" -eq 1 ] &&
        [ "$(tail -n +4 out)" = "$(printf '4\n33\n1')" ] || fail "$*: the files of identity: $(cat out)"
}
who
grep -qE '^vmdeck-[0-9a-f]{4}$' out || fail "the usual name: $(cat out)"
for name in w eleven-char as-long-as-it-may-be-as-hostname-7-says-0123456789-0123456789-0; do
    who --name "$name"
    [ "$(head -1 out)" = "$name" ] || fail "the name $name: $(cat out)"
done
who --cold

# --- the clock, to 10 ms: between the host's times before the question and after the answer

python3 - "$VMDECK" <<'P' || fail 'the clock of a fork'
import subprocess, sys, time
proc = subprocess.Popen([sys.argv[1], "exec", "--memory", "192M", "--", "python3", "-uc",
    "import sys, time\nfor line in sys.stdin: print(time.time_ns())"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
best = None
for i in range(200):
    before = time.time_ns()
    proc.stdin.write(b"?\n")
    proc.stdin.flush()
    guest = int(proc.stdout.readline())
    after = time.time_ns()
    off = max(before - guest, guest - after, 0)  # what its way there and back cannot explain
    if best is None or after - before < best[0]:
        best = (after - before, off)
proc.stdin.close()
assert proc.wait() == 0
# the guest's answer lies in a bracket that is itself short enough to say so
assert best[1] < 10e6, "off by %.1f ms" % (best[1] / 1e6)
assert best[0] < 200e6, "no answer in less than %.1f ms" % (best[0] / 1e6)
P

# --- a host that gets no processor while QEMU loads the state finds that it is loaded

mkdir late
cat >late/qemu-system-x86_64 <<W
#!/bin/bash
case " \$* " in
*" -incoming "*)
    kill -STOP \$PPID
    (exec 0<&- 1>&- 2>&- 3>&- 4>&- 5>&- 6>&- 7>&- 8>&-; sleep 1; kill -CONT \$PPID) &
    ;;
esac
exec $(command -v qemu-system-x86_64) "\$@"
W
chmod +x late/qemu-system-x86_64
# another binary: another accelerator to look at, another template to make
PATH=$PWD/late:$PATH "$VMDECK" exec --memory 192M -- true 2>/dev/null
PATH=$PWD/late:$PATH run "$VMDECK" exec --memory 192M -- echo late
expect 0 'late' '' 'a host that is late'
! grep 'does not work' "$log" 2>/dev/null || fail 'a host that is late throws its template away'
rm -r late

# --- nothing that one writes is seen by another, on disk or in memory

"$VMDECK" exec --memory 192M -- sh -c 'echo SECRET-WORD-17 >/etc/motd; echo SECRET-WORD-17 >/dev/shm/x; sync'
"$VMDECK" exec --memory 192M -- sh -c 'cat /etc/motd; ls /dev/shm /root /tmp; history' >out 2>/dev/null
! grep -q 'SECRET-WORD-17' out || fail "seen by another: $(cat out)"
! grep -aqrF 'SECRET-WORD-17' "$cache" || fail 'a session has written into its template'
! find "$template" -newer "$template/lock" -type f ! -name lock | grep -q . ||
    fail "the template has changed: $(ls -l --time-style=full-iso "$template")"

# --- a template that is damaged: the session starts all the same, and the next makes it anew

holds() { # a held template is not taken away from those who use it
    [ "$(shape "$forked")" = fork ] && "$VMDECK" list | grep -q ' forked .*running'
}
damage() { # WHAT FILE COMMAND…
    local what=$1 file=$template/$2 count
    shift 2
    # a copy: those who run from it have mapped the file itself
    cp --sparse=always "$file" damaged && mv damaged "$file" && "$@" "$file"
    count=$(grep -c 'template.* does not work and is removed' "$log" 2>/dev/null)
    run timeout 60 "$VMDECK" exec --memory 192M -- echo started
    expect 0 'started' '' "$what"
    [ "$(grep -c 'template.* does not work and is removed' "$log")" -eq $((count + 1)) ] ||
        fail "$what: the log does not say that the template was removed"
    [ ! -e "$template" ] || fail "$what: the template is still there"
    run "$VMDECK" exec --memory 192M -- echo rebuilt
    expect 0 'rebuilt' '' "$what, the next"
    [ -e "$template/state" ] || fail "$what: no new template"
    holds || fail "$what: a session that runs from the template was hurt"
}
zero_memory() { truncate -s 0 "$1" && truncate -s 192M "$1"; }
cut() { truncate -s 20000 "$1"; }
damage 'a state that is cut' state cut
damage 'memory that is cut' ram cut
damage 'memory that is empty' ram zero_memory
rm "$template/disk.qcow2"
run "$VMDECK" exec --memory 192M -- echo started
expect 0 'started' '' 'a template without a disk'

# --- builders that are killed: the next one builds, and nothing stays

building() { pgrep -f "process=vmdeck-template.*$XDG_CACHE_HOME"; }
for wait in 0.05 1; do
    await 'a killed builder leaves its VM' eval '! building' # or it would be taken for the next one
    rm -rf "${template:?}"
    "$VMDECK" exec --memory 192M -- true >/dev/null 2>&1 &
    client=$!
    for ((i = 0; i < 400; i++)); do
        builder=$(building) && break
        sleep 0.02
    done
    sleep "$wait" # anywhere in its work
    host=$(ps -o ppid= "$builder" | tr -d ' ')
    [ -z "$host" ] || kill -KILL "$host"
    wait "$client"
done
run "$VMDECK" exec --memory 192M -- echo after
expect 0 'after' '' 'after a builder was killed'
[ "$(template_count)" -eq 3 ] && [ -z "$(left_overs)" ] ||
    fail "killed builders leave: $(templates)"
! building >/dev/null || fail 'a killed builder leaves its VM'

# --- who waits for somebody else's template can be stopped; the locks leave no files behind

"$VMDECK" snapshot forked --keep-running --output kept.qcow2 >out 2>err || fail "snapshot: $(cat err)"
coproc HOLDER {
    exec python3 -c 'import fcntl, struct, sys
file = open(sys.argv[1], "r+b")
fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)) # F_OFD_SETLK, all keys
print("held", flush=True)
sys.stdin.read()' "$cache/builders"
}
read -r -t 30 _ <&"${HOLDER[0]}" || fail 'the lock of the builders'
before=$(our_hosts | wc -l)
gives_up() { # OPTION…
    "$VMDECK" bash --detached --name waits "$@" >out 2>err &
    local client=$! i
    for ((i = 0; i < 1000; i++)); do
        "$VMDECK" list | grep -q ' waits ' && break
        sleep 0.02
    done
    "$VMDECK" stop waits || fail "stop a session that waits: $*"
    wait "$client" && fail "a session that was stopped started: $*"
    for ((i = 0; i < 1000 && $(our_hosts | wc -l) > before; i++)); do sleep 0.02; done
    [ "$(our_hosts | wc -l)" -eq "$before" ] || fail "the host that waited stays: $*"
}
gives_up --memory 144M
gives_up --resume kept.qcow2
eval "exec ${HOLDER[1]}>&-"
[ "$(find "$cache" -maxdepth 1 -type f | sort | xargs -n 1 basename | paste -sd ' ')" = 'builders lock' ] ||
    fail "files beside the templates: $(ls "$cache")"

"$VMDECK" stop --all
nothing_left 'forks'
finish
