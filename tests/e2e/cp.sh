#!/usr/bin/env bash
# cp: trees and streams both ways, copies that are cut off, wrong calls, a full disk. One VM, with a
# shell in it that answers.
. "$(dirname "$0")/lib.sh"
quiet_notice
export LC_ALL=C

coproc VM { exec "$VMDECK" exec --name box -- sh 2>vm-err; }
# shellcheck disable=SC2153
vm_pid=$VM_PID

# guest COMMAND: runs it in the VM's shell; its output and status.
guest() {
    local line
    printf '%s\necho "=done $?"\n' "$1" >&"${VM[1]}"
    while IFS= read -r line <&"${VM[0]}"; do
        case $line in '=done '*) return "${line#=done }" ;; esac
        printf '%s\n' "$line"
    done
    return 255
}
guest true || fail "no VM: $(cat vm-err)"

# copy SRC DST: must be quiet and succeed.
copy() {
    run "$VMDECK" cp "$@"
    expect 0 '' '' "cp $*"
}

# What a tree is, in one hash: types, modes, link counts, sizes, times, targets, names, contents.
# shellcheck disable=SC2016
manifest='{ find . -mindepth 1 \( -type d -printf "%y %m %T@ %p\0" \) -o -printf "%y %m %n %s %T@ %l %p\0" | sort -z
    find . -type f -print0 | sort -z | xargs -0 sha256sum; } | sha256sum'

mkdir -p tree/empty tree/locked tree/many
cd tree || exit 1
printf data >plain && chmod 640 plain && ln plain hard && ln -s /etc/passwd link && ln -s nowhere dangling
printf n >$'new\nline' && printf d >./-rf && printf u >$'F\xc5\x91t\xc3\xa9r' && printf b >$'\xff\xfe'
printf g >'*?[a]' && printf q >"quote'\"\$(x)" && : >nothing && : >"$(printf 'l%.0s' {1..255})"
truncate -s 30M sparse && printf middle | dd of=sparse bs=1 seek=15000000 conv=notrunc status=none
truncate -s 10M hole
printf x >locked/file && chmod 1510 locked
for ((i = 0; i < 3000; i++)); do printf '%d' "$i" >"many/$i"; done
touch -h -d '2001-02-03 04:05:06.123456789' link empty plain
touch -d '1969-12-31 23:00:00' nothing
cd ..
head -c 67108864 /dev/urandom >big
here=$(cd tree && eval "$manifest")

# A tree in, and back.
copy tree box:/root/new
[ "$(guest "cd /root/new && $manifest")" = "$here" ] || fail 'the tree in the guest differs'
[ -z "$(guest 'find /root/new ! -uid 0 -o ! -gid 0')" ] || fail 'not owned by root'
[ "$(guest 'du -sm /root/new/sparse | cut -f1')" -le 1 ] || fail 'not sparse in the guest'
copy box:/root/new back
[ "$(cd back && eval "$manifest")" = "$here" ] || fail 'the tree that came back differs'
[ "$(du -sm back/sparse | cut -f1)" -le 1 ] || fail 'not sparse here'

# Where things go: into a directory that is there, or merged, or under the new name.
copy tree box:/root/
copy tree box:/root
copy tree/. box:/root/new
[ "$(guest "cd /root/tree && $manifest; cd /root/new && $manifest")" = "$here"$'\n'"$here" ] ||
    fail 'merged in the guest'
unlock() { chmod u+w into/new/locked; } # or only root could put a file there
mkdir into
copy box:/root/new into
unlock
copy box:/root/new/ into/
unlock
copy box:/root/new/. into/new
[ "$(cd into/new && eval "$manifest")" = "$here" ] || fail 'merged here'
rm -rf into/new/many && printf other >into/new/plain && printf kept >into/new/kept
unlock
copy box:/root/new into
[ "$(cat into/new/plain into/new/kept)" = datakept ] && [ -e into/new/many/2999 ] || fail 'merge: files'
copy box: home
[ -d home/new ] && [ -d home/tree ] || fail 'ID: is not /root'
copy tree/link box:/tmp/
copy box:/tmp/link .
[ "$(readlink link)" = /etc/passwd ] || fail 'a link is not a link'
copy -- tree/-rf box:/tmp/-x
[ "$(guest 'cat /tmp/-x; stat -c %a /tmp')" = d1777 ] || fail "a leading dash: $(guest 'ls -la /tmp')"
copy "tree/new"$'\n'"line" box:/tmp
copy "box:/tmp/new"$'\n'"line" ./named
[ "$(cat named)" = n ] || fail 'a newline in the name'

# Setuid never travels; what is no file is left out, with a warning.
guest 'mkdir /srv/odd; cd /srv/odd; printf s >su; chmod 6755 su; mkfifo fifo; mknod null c 1 3' || fail 'odd'
run "$VMDECK" cp box:/srv/odd .
expect 0 '' '.*skipped (fifo|null): neither.*skipped (fifo|null): neither[^'$'\n'']*' 'a fifo and a device'
[ "$(ls odd)" = su ] && [ "$(stat -c %a odd/su)" = 755 ] || fail "odd: $(ls -l odd)"
chmod 6755 odd/su && mkfifo odd/fifo
run "$VMDECK" cp odd box:/srv/even
expect 0 '' '.*skipped fifo: neither[^'$'\n'']*' 'a fifo here'
[ "$(guest 'ls /srv/even; stat -c %a /srv/even/su')" = $'su\n755' ] || fail 'setuid in the guest'

# 64 MB, as a file and as a stream.
began=$(date +%s%N)
copy big box:/root/big
between=$(date +%s%N)
copy box:/root/big big2
ended=$(date +%s%N)
cmp big big2 || fail '64 MB differ'
printf 'in: %d MB/s, out: %d MB/s\n' "$((67108864000 / (between - began)))" "$((67108864000 / (ended - between)))"
"$VMDECK" cp - box:/root/stream <big || fail 'cp -'
"$VMDECK" cp box:/root/stream - | cmp - big || fail 'cp … -'
[ "$(printf 'a b' | "$VMDECK" cp - box:/tmp/s && "$VMDECK" cp box:/tmp/s -)" = 'a b' ] || fail 'a short stream'
"$VMDECK" cp - box:/tmp/s </dev/null && [ -z "$("$VMDECK" cp box:/tmp/s -)" ] || fail 'an empty stream'
"$VMDECK" cp box:/proc/version - | grep -q Linux || fail '/proc'

# Cut off: by Ctrl-C while the input is open, then by both signals at several moments. What is
# there under the final name is whole.
mkfifo input
exec 8<>input
"$VMDECK" cp - box:/root/cut <&8 2>err &
head -c 3000000 big >&8
kill -INT $!
wait $!
[ $? -eq 130 ] || fail "Ctrl-C: $(cat err)"
exec 8>&-
# The moments only vary what is hit: every outcome is checked the same.
for signal in INT KILL; do
    for moment in 0.02 0.1 0.3 0.6; do
        "$VMDECK" cp big box:/root/cut 2>/dev/null &
        sleep "$moment" && kill -s "$signal" $! 2>/dev/null
        wait $! 2>/dev/null
        guest "[ ! -e /root/cut ] || cmp /root/big /root/cut" || fail "in, $signal after $moment s"
        "$VMDECK" cp box:/root/big cut 2>/dev/null &
        sleep "$moment" && kill -s "$signal" $! 2>/dev/null
        wait $! 2>/dev/null
        [ ! -e cut ] || cmp big cut || fail "out, $signal after $moment s"
        guest 'rm -f /root/cut' && rm -f cut
        [ "$signal" = KILL ] || [ -z "$(find . -maxdepth 1 -name '.vmdeck-cp*')" ] || fail "$signal: leaves its directory"
    done
done
rm -rf .vmdeck-cp.*
guest 'for i in 1 2 3 4 5 6 7 8 9 10; do
    set -- $(find / -xdev -name ".vmdeck-cp*"); [ $# -gt 0 ] || break; sleep 0.5; done
    [ $# -eq 0 ] || { ls -lR "$@"; ps -ef | grep "[v]mdeck-cp"; false; }' >out ||
    fail "temporary directories stay in the guest: $(cat out)"

# Wrong calls and failures: one line.
while IFS='|' read -r wanted arguments message; do
    # shellcheck disable=SC2086
    run "$VMDECK" cp $arguments
    expect "$wanted" '' "vmdeck cp: .*$message.*" "cp $arguments"
    [ "$(wc -l <err)" -eq 1 ] || fail "cp $arguments: more than one line: $(cat err)"
done <<'T'
2|big|needs a source
2|a b c|needs a source
2|big small|neither side
2|box:/a box:/b|both sides
2|box:relative .|absolute path
2|:/tmp .|absolute path
2|--nonsense a box:/|unknown option
125|missing box:/root|missing: No such file
125|box:/missing .|/missing: no such file
125|box:/missing -|/missing: no such file
125|box:/root/new -|a directory does not fit
125|- box:/root|is a directory
125|big nobody:/root|no session
125|big box:/missing/|no such directory
125|big box:/missing/x|no such directory
125|big box:/root/big/|no such directory
125|tree box:/root/big|is there and no directory
125|box:/root/new big|is there and no directory
125|box:/root/big missing/|no such directory
125|box:/root/big missing/x|No such file
125|box:/root/big/ x|no such directory
125|box:/dev/null x|neither file
T
[ ! -e x ] && [ ! -e missing ] || fail 'a failed copy leaves something'
printf 'mv /usr/bin/tar /usr/bin/rat\n' >&"${VM[1]}"
guest true
run "$VMDECK" cp box:/root/big x
expect 125 '' 'vmdeck cp: in the guest: there is no tar in the guest.*' 'no tar'
guest 'mv /usr/bin/rat /usr/bin/tar'

# Full disks, here and there.
[ "$(id -u)" -eq 0 ] && own=(unshare --mount) || own=(unshare --map-root-user --mount)
mkdir small
# shellcheck disable=SC2016
run "${own[@]}" sh -c 'mount -t tmpfs -o size=20M none small && "$VMDECK" cp box:/root/big small/big
    status=$?; find small -mindepth 1; exit $status'
expect 125 '' 'vmdeck cp: .*No space left on device' 'disk full here'
guest 'mkdir /mnt/small && mount -t tmpfs -o size=20M none /mnt/small' || fail 'mount'
run "$VMDECK" cp big box:/mnt/small/
expect 125 '' 'vmdeck cp: in the guest: .*No space left on device' 'disk full there'
run "$VMDECK" cp - box:/mnt/small/stream <big
expect 125 '' 'vmdeck cp: in the guest: .*No space left on device' 'disk full there, stream'
[ -z "$(guest 'find /mnt/small -mindepth 1')" ] || fail 'a full disk leaves something in the guest'

# The VM goes away while a copy waits.
exec 8<>input
"$VMDECK" cp - box:/root/cut <&8 2>err &
head -c 3000000 big >&8
kill -TERM "$vm_pid"
wait $!
[ $? -eq 125 ] && [ "$(wc -l <err)" -eq 1 ] || fail "VM gone: $(cat err)"
wait "$vm_pid" 2>/dev/null
nothing_left 'cp'
chmod -R u+w . 2>/dev/null
finish
