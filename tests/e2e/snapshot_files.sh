#!/usr/bin/env bash
# Snapshots as files: what is in them, what damages them, where they cannot be written.
# As root in a mount namespace of its own: what is mounted goes with the test, however it ends.
[ "$(id -u)" -ne 0 ] || [ -n "${OWN_MOUNTS-}" ] || exec env OWN_MOUNTS=1 unshare --mount "$0"
. "$(dirname "$0")/lib.sh"
quiet_notice

snapshots=$XDG_DATA_HOME/vmdeck/snapshots
log=$XDG_STATE_HOME/vmdeck/log/host.log

. "$(dirname "$0")/snapshot_lib.sh"

# --- running on: three snapshots of a session that writes all the time

begin one
"$VMDECK" cp - one:/root/writer <<'S'
mkdir -p /root/files; echo begun >/root/begun; i=0
while :; do
    i=$((i + 1))
    head -c 3000 /dev/urandom >/root/files/$((i % 200)); echo $i >/root/new; mv /root/new /root/count
    [ $((i % 20)) -ne 0 ] || sync
done
S
inside one 'setsid sh /root/writer >/dev/null 2>&1 & until [ -e /root/begun ]; do :; done'
for i in 1 2 3; do
    run "$VMDECK" snapshot one --keep-running --json --output "run$i.qcow2"
    [ "$status" -eq 0 ] || fail "snapshot $i: $(cat err)"
    python3 -c 'import json, sys
made = json.load(open("out"))
assert 0 <= made["stopped_ms"] < 5000 and made["size"] > 0 and made["path"].endswith("run%s.qcow2" % sys.argv[1]), made' \
        $i || fail "snapshot $i: $(cat out)"
done
[ "$(find "$XDG_STATE_HOME/vmdeck/sessions" -name 'disk*' | wc -l)" -eq 1 ] ||
    fail "overlays were left apart: $(ls "$XDG_STATE_HOME"/vmdeck/sessions/*)"
inside one 'a=$(cat /root/count); until [ "$(cat /root/count)" -gt $((a + 5)) ]; do :; done; echo on; dmesg | grep -i "ext4.*error"'
[ "$(cat out)" = on ] || fail "the session after three snapshots: $(cat out)"

# Each is whole: QEMU's own tools read it, it goes on from where it was, and its file system is fine.
for i in 1 3; do
    qemu-img check -q "run$i.qcow2" || fail "qemu-img check of run$i"
    resume "again$i" "run$i.qcow2"
    inside "again$i" 'a=$(cat /root/count); until [ "$(cat /root/count)" -gt $((a + 5)) ]; do :; done; echo on; dmesg | grep -i "ext4.*error"'
    [ "$(cat out)" = on ] || fail "resumed $i: $(cat out)"
done
qemu-img info --output=json run1.qcow2 | grep -q '"format": "qcow2"' || fail 'qemu-img info'
"$VMDECK" stop one again1
run "$VMDECK" snapshot again3 --disk --output disk.qcow2
expect 0 '[0-9a-f]{8}' '' 'a snapshot of the disk'
if command -v e2fsck >/dev/null; then
    qemu-img convert -O raw disk.qcow2 disk.raw && e2fsck -fn disk.raw >fsck 2>&1 ||
        fail "e2fsck: $(tail -5 fsck)"
    rm -f disk.raw
fi
run "$VMDECK" exec --resume disk.qcow2 --memory 256M -- sh -c 'cat /root/begun; ps ax | grep "[w]riter"; true'
expect 0 begun '' 'a disk boots'
rm -f run?.qcow2 disk.qcow2

# --- where a snapshot cannot be made the session goes on

begin two
"$VMDECK" cp - two:/root/mark <<<marked
run "$VMDECK" snapshot two --output missing/x.qcow2
refused 'missing.*No such file' 'a directory that is not there'
run "$VMDECK" snapshot two --output /proc/x.qcow2
refused '/proc' 'a directory that cannot be written'
: >there.qcow2
run "$VMDECK" snapshot two --output there.qcow2
refused 'there already' 'a file that is there'
run "$VMDECK" snapshot two --name 'no/name'
[ "$status" -ne 0 ] && [ ! -s out ] || fail 'a bad name'
small=$TMPDIR/small
mkdir "$small"
if mount -t tmpfs -o size=4m none "$small" 2>/dev/null; then
    run "$VMDECK" snapshot two --output "$small/x.qcow2"
    refused 'no space left in' 'a full disk'
    run "$VMDECK" snapshot two --keep-running --output "$small/x.qcow2"
    refused 'no space left in' 'a full disk, while it runs'
    [ -z "$(ls -A "$small")" ] || fail "a full disk: $(ls -A "$small")"
fi
inside two 'cat /root/mark; uptime >/dev/null; echo alive'
[ "$(cat out)" = $'marked\nalive' ] || fail "the session after failed snapshots: $(cat out)"

# --- names, ls, inspect, rm

run "$VMDECK" snapshot two --name base --keep-running
expect 0 '[0-9a-f]{8}' '' 'a name'
id=$(cat out)
run "$VMDECK" snapshot two --name base --keep-running
refused 'base' 'a name that is taken'
run "$VMDECK" snapshot ls
grep -qE "^$id +base +ram .* two$" out || fail "ls: $(cat out)"
run "$VMDECK" snapshot inspect base
python3 -c 'import json; made = json.load(open("out"))
assert made["kind"] == "ram" and made["session"]["name"] == "two", made
assert [s["name"] for s in made["sections"]] == ["disk", "device-state", "memory", "memory-map", "terminals"], made' ||
    fail "inspect: $(cat out err)"
resume user base
run "$VMDECK" snapshot rm base
refused 'runs from it' 'rm of one that is used'
"$VMDECK" stop user

# --- twenty from one, each with what it writes itself

base=$(sha256sum <"$snapshots/base.qcow2")
for i in {1..20}; do
    run "$VMDECK" exec --resume base -- sh -c "cat /root/mark; ls /root; echo $i >/root/mine; sync; cat /root/mine"
    expect 0 "marked"$'\n'"mark"$'\n'"$i" '' "resume $i"
done
[ "$(sha256sum <"$snapshots/base.qcow2")" = "$base" ] || fail 'resuming changes the snapshot'

# --- damage

resumed() { run "$VMDECK" exec --resume "$1" -- cat /root/mark; }
flip() { # FILE OFFSET
    python3 - "$1" "$2" <<'P'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]), 0 if int(sys.argv[2]) >= 0 else 2)
    byte = file.read(1)[0]
    file.seek(-1, 1)
    file.write(bytes([byte ^ 16]))
P
}
head -c 300000 /dev/urandom >noise.qcow2
resumed ./noise.qcow2
refused 'noise\.qcow2' 'a file of another kind'
qemu-img create -q -f qcow2 plain.qcow2 1G
resumed ./plain.qcow2
refused 'plain\.qcow2' 'a qcow2 file that is no snapshot'
size=$(stat -c %s "$snapshots/base.qcow2")
for cut in 0 100000 $((size / 2)) $((size - 1)); do
    cp "$snapshots/base.qcow2" cut.qcow2 && truncate -s "$cut" cut.qcow2
    resumed ./cut.qcow2
    refused 'cut\.qcow2' "cut to $cut bytes"
done
sections=$("$VMDECK" snapshot inspect base | python3 -c 'import json, sys
print(*[s["offset"] + s["length"] // 2 for s in json.load(sys.stdin)["sections"]])')
for at in $sections -50 -200; do # the last two: trailer and manifest
    cp "$snapshots/base.qcow2" flipped.qcow2 && flip flipped.qcow2 "$at"
    resumed ./flipped.qcow2
    refused 'flipped\.qcow2' "a bit flipped at $at"
done

# the copy of its memory in the cache is damaged: from the file again
# (its name there is the manifest's hash, which the trailer has)
cache=$XDG_CACHE_HOME/vmdeck/templates/$(tail -c 56 "$snapshots/base.qcow2" | head -c 16 | od -An -tx1 | tr -d ' \n')
resumed base
expect 0 marked '' 'before the cache is damaged'
[ -e "$cache/ram" ] || fail "not in the cache: $cache"
printf garbage >"$cache/state"
resumed base
expect 0 marked '' 'a damaged cache'
grep -q 'the cached memory of .*base\.qcow2 does not work' "$log" || fail 'the log does not say so'

# an image that is not there
cp -r --sparse=always "$VMDECK_IMAGE" image && run "$VMDECK" exec --image "$PWD/image" -- true
"$VMDECK" bash --detached --keep --name three --image "$PWD/image" >begun 2>err || fail "$(cat err)"
"$VMDECK" snapshot three --output three.qcow2 >out 2>err || fail "three: $(cat err)"
mv image gone
resumed ./three.qcow2
refused "its image .*$(basename "$VMDECK_IMAGE").* is not here" 'an image that is not there'
rm -rf gone

run "$VMDECK" snapshot rm base no-such-one
refused 'no-such-one' 'rm'
[ ! -e "$snapshots/base.qcow2" ] && ! "$VMDECK" snapshot ls | grep -q base || fail 'base is still there'

"$VMDECK" stop --all
nothing_left 'snapshots'
finish
