#!/usr/bin/env bash
# Mounts: host directories, memory and shadows, at the start and live, through fork, snapshot,
# suspend and resume with open files; nothing outside a directory is reached.
. "$(dirname "$0")/lib.sh"
in_session=$(dirname "$(readlink -f "$0")")/in_session.py
conformance=$(dirname "$VMDECK")/tests # the directory with fs_conformance
quiet_notice

id_of() {
    "$VMDECK" list --json | python3 -c '
import json, sys
for session in json.load(sys.stdin):
    if session["name"] == sys.argv[1]:
        print(session["id"])' "$1"
}
inside() { "$in_session" "$id" sh -c "$1"; } # COMMAND in the session $id
is() { [ "$1" = "$2" ] || fail "$3: '$1' is not '$2'"; } # GOT EXPECTED WHAT
grown() { [ "$(wc -l <"$1")" -gt "$2" ]; }

mkdir -p src/sub ro outside empty
echo text >src/file
echo secret >src/.env
echo outside >outside/file
echo only >ro/file

# --- what is wrong is said before a VM starts
refused() { # STATUS REGEX OPTION…
    run "$VMDECK" exec "${@:3}" -- true
    expect "$1" '' "vmdeck exec: .*$2.*" "${*:3}"
}
refused 125 'cannot mount nowhere: No such file or directory' --mount-hostfs nowhere:/work
refused 125 'not a directory' --mount-hostfs src/file:/work
refused 2 'not HOST:GUEST' --mount-hostfs src:work
refused 2 'not HOST:GUEST' --mount-hostfs src
refused 2 'no absolute path' --mount-memfs work
refused 2 'no \. or \.\.' --mount-hostfs src:/work/../etc
refused 2 'could not go on' --mount-memfs /proc/x
refused 2 'could not go on' --mount-hostfs src:/
refused 2 'two mounts at /work' --mount-hostfs src:/work --mount-memfs /work/
refused 2 'no pattern' --shadow '=tmpfs'
refused 2 'cannot be part' --shadow '/a/../b'

# --- every kind at once, with odd names; hard and symbolic links lead nowhere else
ln -s "$PWD/outside" src/absolute
ln -s ../outside src/relative
ln -s sub src/inner
mkdir 'src/with space, and "comma"'
run "$VMDECK" exec --mount-hostfs src:/work --mount-hostfs ro:/ro:ro --mount-memfs /mem \
    --mount-memfs '/work/sub' --mount-hostfs 'src/with space, and "comma":/odd, "name" ü' \
    --shadow /work/.env --shadow '*.key=tmpfs' -- sh -c '
    exec 2>&1
    cat /work/file /ro/file
    echo new >/work/new && mkdir /work/dir && chmod 4750 /work/new && mv /work/new /work/dir/n
    stat -c "%a %u" /work/dir/n
    chown 1000:1000 /work/dir/n && stat -c "%u:%g" /work/dir/n
    echo no >/ro/file || echo read-only
    echo memory >/mem/x && cat /mem/x && ln /mem/x /work/x || echo EXDEV
    cat /work/.env || echo hidden
    ls -A /work | tr "\n" " "; echo
    echo mine >/work/my.key && cat /work/my.key
    echo below >/work/sub/in-memory
    cat /work/absolute/file || echo no
    cat /work/relative/file || echo no
    echo x >/work/absolute/evil || echo no
    echo odd >"/odd, \"name\" ü/file"
    mknod /work/null c 1 3 && cat /work/null && echo device
    true'
[ "$status" -eq 0 ] || fail "all kinds: status $status: $(cat err)"
for line in text only '4750 0' 1000:1000 read-only memory EXDEV hidden mine; do
    grep -qxF -- "$line" out || fail "no line '$line' in: $(cat out)"
done
grep -q '\.env' <(grep -v hidden out | grep -v 'cat:') && fail "shadowed, but listed: $(cat out)"
[ "$(grep -cx no out)" -eq 3 ] || fail "links out of the directory: $(cat out)"
grep -qx device out && fail 'a device node worked'
is "$(cat src/dir/n)" new 'written on the host'
[ ! -u src/dir/n ] || fail 'setuid reached the host'
[ ! -e src/my.key ] && [ ! -e src/sub/in-memory ] || fail 'private files reached the host'
is "$(cat 'src/with space, and "comma"/file')" odd 'an odd name'
is "$(ls outside)" file 'outside was changed'
is "$("$VMDECK" events --json --type vfs | grep -c '"denied"' | sed 's/[1-9].*/some/')" some 'denied events'

"$(dirname "$in_session")/odd_mounts.py" || fail '40 mounts with odd names'

# --- conformance, on both at once
mkdir conform
run "$VMDECK" exec --mount-hostfs "$conformance:/t:ro" --mount-hostfs conform:/h --mount-memfs /m -- sh -c '
    /t/fs_conformance /m -b 100 -s space_full >/tmp/m 2>&1 & /t/fs_conformance /h -b 100 -s space_full
    h=$?; wait $!; m=$?; cat /tmp/m; exit $((h + m))'
[ "$status" -eq 0 ] || fail "conformance: $(cat out err)"

# --- live
"$VMDECK" bash --detached --name live --mount-hostfs src:/work >/dev/null || fail 'bash --detached'
id=$(id_of live)
run "$VMDECK" mount live ro:/live/ro:ro
expect 0 '' '' 'mount'
run "$VMDECK" mount live --memfs /live/mem
expect 0 '' '' 'mount --memfs'
is "$(inside 'cat /live/ro/file; echo 1 >/live/mem/x; cat /live/mem/x' | tr '\n' ' ')" 'only 1 ' 'live mounts'
run "$VMDECK" mount live ro:$'/live/\xff \n'
expect 0 '' '' 'mount at a name that is no UTF-8'
is "$("$VMDECK" list --json | python3 -c '
import json, sys
print(ascii([m["guest"] for m in json.load(sys.stdin)[0]["mounts"] if "\ufffd" in m["guest"]]))')" \
    "['/live/\ufffd \\n']" 'such a name in JSON'
run "$VMDECK" umount live $'/live/\xff \n'
expect 0 '' '' 'umount of it'
run "$VMDECK" mount live ro:/live/ro
expect 125 '' '.*something is mounted there.*' 'mounted twice'
run "$VMDECK" mount live ro:/live
expect 125 '' '.*would hide.*' 'mounted over others'
run "$VMDECK" umount live /nowhere
expect 125 '' '.*nothing of ours is mounted there' 'umount of nothing'
is "$("$VMDECK" list --json | python3 -c '
import json, sys
for m in sorted(json.load(sys.stdin)[0]["mounts"], key=lambda m: m["guest"]):
    print(m["guest"], m["host"] and m["host"].split("/")[-1], m["read_only"], end=";")')" \
    '/live/mem None False;/live/ro ro True;/work src False;' 'mounts in list'
inside 'cd /live/mem && sleep 1000 >/dev/null 2>&1 & true'
await 'no holder' inside 'pgrep -x sleep >/dev/null'
run "$VMDECK" umount live /live/mem
expect 125 '' '.*cannot unmount /live/mem: in use: .*sleep \(pid [0-9]+\).*' 'busy'
inside 'pkill -x sleep; while pgrep -x sleep >/dev/null; do :; done'
run "$VMDECK" umount live /live/mem
expect 0 '' '' 'umount'
inside 'umount /live/ro' || fail 'umount by the guest'
await 'the guest unmounted it, but it is listed' sh -c '! "$VMDECK" list --json | grep -q /live/ro'

# --- the host's changes are seen within 200 ms, by a guest that has cached the old ones
inside 'cat /work/file >/dev/null; ls /work >/dev/null; ls /work/later 2>/dev/null; true'
echo changed >src/file
touch src/later
sleep 0.2
is "$(inside 'cat /work/file; ls /work/later' | tr '\n' ' ')" 'changed /work/later ' "the host's change"

# --- a file that stays open through a fork, a snapshot, suspend and start
inside 'cat >/tmp/writer <<"W"
exec 3>>/work/log 4</work/file
rm -f /work/held; echo held >/work/held; exec 5</work/held; rm /work/held
n=0
while :; do
    n=$((n + 1)); echo "$n" >&3; read -r line <&5 && echo "$line" >&3; sleep 0.1
done
W
setsid sh /tmp/writer >/tmp/writer.log 2>&1 &' || fail 'the writer'
await 'the writer does not write' grown src/log 3
grep -qx held src/log || fail 'the unlinked file is not read'
run "$VMDECK" fork live --name forked
[ "$status" -eq 0 ] || fail "fork: $(cat err)"
await 'the fork does not write' sh -c 'grep -v held src/log | sort | uniq -d | grep -q .' # the same number twice
"$VMDECK" stop forked || fail 'stop forked'
is "$("$VMDECK" list --json | grep -o '"guest":"/work"' | wc -l)" 1 'mounts after the fork'

run "$VMDECK" snapshot live --name kept --keep-running
[ "$status" -eq 0 ] || fail "snapshot: $(cat err)"
run "$VMDECK" suspend live
[ "$status" -eq 0 ] || fail "suspend: $(cat err)"
lines=$(wc -l <src/log)
mkdir src/while-suspended && mv src/file src/renamed && echo other >src/file
run "$VMDECK" start live
[ "$status" -eq 0 ] || fail "start: $(cat err)"
id=$(id_of live)
await 'nothing is written after start' grown src/log "$((lines + 2))"
is "$(inside 'cat /work/file; ls -d /work/while-suspended' | tr '\n' ' ')" 'other /work/while-suspended ' \
    'what changed meanwhile'
"$VMDECK" stop live || fail 'stop live'

# --- the snapshot, with the directory gone: errors, no hanging
mv src src-away
run "$VMDECK" bash --detached --name gone --resume kept
[ "$status" -eq 0 ] || fail "resume without the directory: $(cat err)"
id=$(id_of gone)
inside 'timeout 10 ls /work' >out 2>err && fail 'a directory that is gone is listed'
grep -qi 'input/output error' err || fail "a directory that is gone: $(cat err)"
grep -q 'src' "$XDG_STATE_HOME/vmdeck/log/host.log" || fail 'no line in the log'
"$VMDECK" stop gone || fail 'stop gone'
mv src-away src

# --- a snapshot that somebody else has made gets no directory
cp "$("$VMDECK" snapshot ls --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["path"])')" foreign.qcow2
run "$VMDECK" exec --resume ./foreign.qcow2 -- true
expect 125 '' '.*name the directory again to allow it.*' 'a foreign snapshot'
run "$VMDECK" exec --resume ./foreign.qcow2 --mount-hostfs empty:/work:ro -- sh -c 'ls -A /work; echo x >/work/x || echo read-only'
expect 0 'read-only' '.*' 'a foreign snapshot with another directory'
is "$(ls -A empty)" '' 'the other directory'

# --- from the disk alone: the mounts that it had, if it is our own
run "$VMDECK" exec --resume kept --cold --mount-memfs /scratch --shadow renamed -- sh -c 'cat /work/file; ls /work/renamed; echo x >/scratch/x'
expect 0 'other' '.*renamed.*' 'a cold resume'
run "$VMDECK" exec --resume ./foreign.qcow2 --cold -- test ! -e /work/file
expect 0 '' '' 'a cold resume of a foreign snapshot'
run "$VMDECK" exec --resume kept --cold --mount-hostfs empty:/work:ro -- ls -A /work
expect 0 '' '' 'a cold resume with another directory'
mv src src-away
run "$VMDECK" exec --resume kept --cold -- test ! -e /work/file
expect 0 '' '' 'a cold resume without the directory'
mv src-away src

nothing_left mounts
finish
