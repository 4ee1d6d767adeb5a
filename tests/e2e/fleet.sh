#!/usr/bin/env bash
# Sessions are listed, found, watched and ended; those whose host was killed are cleaned up by
# whoever comes next.
. "$(dirname "$0")/lib.sh"
quiet_notice

# begin NAME: a session that lasts, and says "up". Its client's pid is in $client, its output in
# NAME.out.
begin() {
    rm -f "$1.out"
    "$VMDECK" exec --memory 128M --name "$1" -- sh -c 'echo up; sleep 1000' >"$1.out" 2>"$1.err" &
    client=$!
    await "$1 is not up" grep -q up "$1.out"
}

# field SESSION NAME [all]: a member of its object in list --json; empty if it is not listed.
field() {
    "$VMDECK" list ${3:+--$3} --json | python3 -c '
import json, sys
for session in json.load(sys.stdin):
    if sys.argv[1] in (session["id"], session["name"]):
        print(session[sys.argv[2]])' "$1" "$2"
}

# one_line REGEX: the last run failed with one line that has it.
one_line() {
    [ "$status" -eq 125 ] && [ "$(wc -l <err)" -eq 1 ] && grep -qE -- "$1" err ||
        fail "$1: status $status: $(cat err)"
}

run "$VMDECK" list
expect 0 'ID +NAME +STATE +IMAGE +AGE +TERMS +PENDING +COMMAND' '' 'empty list'
run "$VMDECK" list --json
expect 0 '\[\]' '' 'empty array'
run "$VMDECK" stop --all
expect 0 '' '' 'nothing to stop'
run "$VMDECK" stats --json
expect 0 '\[\]' '' 'no stats'

"$VMDECK" events --follow --json --type session >followed &
follower=$!
begin one && one=$client
begin two && two=$client
id=$(field one id)
case $id in [0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]) ;; *) fail "id '$id'" ;; esac

# Three forms of the list.
run "$VMDECK" list
expect 0 $'ID [^\n]*\n'"$id +one +running +[^ ]+ +[0-9]+[smh] +0 +0 +sh"$'\n[0-9a-f]{8} +two +running .*' \
    '' 'table'
run "$VMDECK" list -q
expect 0 "$id"$'\n[0-9a-f]{8}' '' 'ids'
"$VMDECK" list --json >out
python3 - "$id" <<'P' || fail "list --json: $(cat out)"
import json, os, re, sys
one, two = json.load(open("out"))
assert one["id"] == sys.argv[1] and one["name"] == "one" and two["name"] == "two", one
assert one["state"] == "running" and one["answers"] and one["ended"] is None, one
assert one["arch"] == "x86_64" and one["accel"] in ("kvm", "tcg"), one
assert one["memory"] == 128 << 20 and one["cpus"] == 1 and one["command"] == "sh", one
assert one["terminals"] == 0 and one["pending"] == 0 and one["mounts"] == [], one
assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["created"]), one
assert b"session-host" in open("/proc/%d/cmdline" % one["pid"], "rb").read(), one
P

# A name is taken while its session lives.
run "$VMDECK" exec --name one -- true
one_line 'one'

# Figures that can be.
"$VMDECK" stats --json >out && "$VMDECK" stats "${id:0:6}" --json >out.one || fail 'stats'
python3 - <<'P' || fail "stats: $(cat out out.one)"
import json
sessions, (one,) = json.load(open("out")), json.load(open("out.one"))
assert [s["name"] for s in sessions] == ["one", "two"] and one["name"] == "one", sessions
for s in sessions:
    assert 0 < s["uptime"] < 600 and 0 < s["cpu"] < 600, s
    assert 16 << 20 < s["memory_proportional"] <= s["memory_resident"] < 2 << 30, s
    assert 0 < s["disk"] < 1 << 30, s
P
run "$VMDECK" stats
[ "$(wc -l <out)" -eq 3 ] || fail "stats: $(cat out err)"

# Words that mean no session, and one that means several.
run "$VMDECK" stop no-such-session
one_line 'no-such-session'
run "$VMDECK" stop ''
one_line 'no session'
run "$VMDECK" stop
expect 2 '' 'vmdeck stop: which sessions.*' 'stop without a word'
run "$VMDECK" stop --all one
expect 2 '' 'vmdeck stop: which sessions.*' 'stop with both'

# A host that stands still is not taken for a dead one.
host=$(field two pid)
kill -STOP "$host"
run "$VMDECK" list
grep -qE '^[0-9a-f]{8} +two +running\?' out || fail "silent host: $(cat out err)"
[ "$(field two answers)" = False ] || fail 'silent host answers'
kill -CONT "$host"

# stop: a unique prefix, and a wrong word beside it that does not keep the others from ending.
run "$VMDECK" stop no-such-session "${id:0:7}" "$id"
one_line 'no-such-session'
wait "$one"
[ $? -eq 125 ] && [ "$(cat one.err)" = 'vmdeck exec: the session was stopped' ] ||
    fail "client of a stopped session: $(cat one.err)"
[ -z "$(field one id)" ] && [ "$(field "$id" state all)" = stopped ] || fail 'stopped, and how'
run "$VMDECK" stats "$id"
one_line 'has ended'

# A host that is killed: QEMU goes with it, the next command cleans up, once.
qemu=$(pgrep -f "$XDG_STATE_HOME/vmdeck/sessions")
dead=$(field two id)
kill -KILL "$host"
await 'QEMU outlives its host' eval '! kill -0 '"$qemu"
wait "$two"
[ $? -eq 125 ] && [ "$(wc -l <two.err)" -eq 1 ] || fail "client of a killed host: $(cat two.err)"
[ -e "$XDG_STATE_HOME/vmdeck/sessions/$dead" ] && [ -e "$XDG_RUNTIME_DIR/vmdeck/$dead.sock" ] ||
    fail 'something else has cleaned up'
for _ in 1 2 3 4; do "$VMDECK" list -q >>ids & cleaners+=($!); done
wait "${cleaners[@]}"
[ ! -s ids ] || fail "a dead session is listed: $(cat ids)"
nothing_left 'a killed host'
[ "$(field two state all)" = dead ] || fail "killed: $(field two state all)"

# A new session cleans up too, and can have the name.
begin two && two=$client
kill -KILL "$(field two pid)"
wait "$two"
run "$VMDECK" exec --memory 128M --name two -- true
expect 0 '' '' 'the name of a dead session'
nothing_left 'a start after a killed host'
[ "$("$VMDECK" list --all | grep -cE ' two +dead ')" -eq 2 ] || fail "dead: $("$VMDECK" list --all)"

# What happened is in the log, and the follower saw all of it as it came.
"$VMDECK" events --json --type session >log
await 'the follower has not seen all' cmp -s followed log
kill "$follower"
python3 - "$id" "$dead" <<'P' || fail "events: $(cat log)"
import json, sys
events = [json.loads(line) for line in open("log")]
assert all(e["type"] == "session" and e["time"].endswith("Z") for e in events)
def of(session): return [e["action"] for e in events if e["session"] == session]
assert of(sys.argv[1]) == ["started", "ready", "stopped"], of(sys.argv[1])
assert of(sys.argv[2]) == ["started", "ready", "failed"], of(sys.argv[2])
P
run "$VMDECK" events "${dead:0:7}"
expect 0 $'[^\n]*started\n[^\n]*ready\n[^\n]*failed: its session host was killed' '' 'events of one'
run "$VMDECK" events --since 2000-01-01T00:00:00Z --type net,vfs
expect 0 '' '' 'events of other types'
run "$VMDECK" events --type nonsense
expect 2 '' 'vmdeck events: --type.*' 'wrong type'
run "$VMDECK" events --since tomorrow
expect 2 '' 'vmdeck events: --since.*' 'wrong time'
timeout 20 "$VMDECK" events --follow | head -n 1 >out
[ "${PIPESTATUS[0]}" -ne 124 ] || fail 'events --follow outlives its reader'

# Several at once. Of each the socket goes first: a host that is killed while it removes things is
# cleaned up after by its directory.
begin three && three=$client
begin four && four=$client
id=$(field four id)
coproc WATCHER {
    exec python3 -c 'import ctypes, struct, sys
id, *directories = sys.argv[1:]
libc = ctypes.CDLL(None)
watch = libc.inotify_init()
for directory in directories:
    assert libc.inotify_add_watch(watch, directory.encode(), 0x200) > 0 # IN_DELETE
print("watching", flush=True)
gone, events = [], open(watch, "rb", buffering=0)
while len(gone) < 2:
    data = events.read(65536)
    while data:
        size = struct.unpack_from("iIII", data)[3]
        name, data = data[16:16 + size].rstrip(b"\0").decode(), data[16 + size:]
        gone += [name] if name.startswith(id) else []
print(*gone)' "$id" "$XDG_RUNTIME_DIR/vmdeck" "$XDG_STATE_HOME/vmdeck/sessions"
}
exec {watcher}<&"${WATCHER[0]}"
read -r -t 60 -u "$watcher" _ || fail 'nobody watches'
run "$VMDECK" stop --all
expect 0 '' '' 'stop --all'
wait "$three" "$four"
nothing_left 'stop --all'
read -r -t 60 -u "$watcher" gone
[ "$gone" = "$id.sock $id" ] || fail "what went when: $gone"

run "$VMDECK" doctor
[ "$status" -eq 0 ] && grep -q '^ok   QEMU: .*version' out && ! grep -q '^FAIL' out ||
    fail "doctor: $status: $(cat out err)"
[ -z "$(grep -vE '^(ok  |warn) [A-Za-z ]+: .' out)" ] || fail "doctor's lines: $(cat out)"
run env XDG_STATE_HOME=/proc/none "$VMDECK" doctor
[ "$status" -eq 1 ] && grep -q '^FAIL state: .*/proc/none' out || fail "doctor, no state: $(cat out)"
run env PATH="$HOME" "$VMDECK" doctor
[ "$status" -eq 1 ] && grep -q '^FAIL QEMU: ' out || fail "doctor, no QEMU: $(cat out)"

# A damaged database: one line from everything, and it stays as it is. A session that runs already
# ends without a trace all the same.
begin five && five=$client
database=$XDG_STATE_HOME/vmdeck/vmdeck.db
rm -f "$database"-*
head -c 20000 /dev/urandom >"$database"
before=$(sha256sum <"$database")
for verb in list 'stop --all' events stats 'exec -- true'; do
    # shellcheck disable=SC2086
    run "$VMDECK" $verb
    one_line "^vmdeck ${verb%% *}: .*vmdeck\.db"
done
run "$VMDECK" doctor
[ "$status" -eq 1 ] && grep -q '^FAIL database: ' out || fail "doctor, database: $(cat out)"
[ "$(sha256sum <"$database")" = "$before" ] || fail 'the damaged database was changed'
kill "$five"
wait "$five"
nothing_left 'a damaged database'

for verb in list stop events stats doctor; do
    run "$VMDECK" $verb --help
    [ "$status" -eq 0 ] && grep -q "^Usage: vmdeck $verb" out && [ ! -s err ] || fail "help of $verb"
done
finish
