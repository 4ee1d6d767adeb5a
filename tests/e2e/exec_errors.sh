#!/usr/bin/env bash
# exec and image: wrong calls and broken surroundings. One line each, the right status, nothing left.
. "$(dirname "$0")/lib.sh"
quiet_notice

# Wrong calls: 2, and no VM is started.
while IFS='|' read -r arguments message; do
    # shellcheck disable=SC2086
    run "$VMDECK" $arguments
    expect 2 '' "vmdeck[^:]*: .*$message.*" "vmdeck $arguments"
    [ "$(wc -l <err)" -eq 1 ] || fail "vmdeck $arguments: more than one line: $(cat err)"
done <<'T'
nonsense|no such verb
exec|no command
exec --nonsense -- true|unknown option
exec -x -- true|unknown option
exec --memory|needs a value
exec --memory lots -- true|not a size
exec --memory=0 -- true|not a size
exec --memory 1K -- true|not from 128M
exec --memory 8000000T -- true|not from 128M
exec --rootfs-size 5T -- true|4T at most
exec --cpus 0 -- true|not a number
exec --cpus 65 -- true|not a number
exec --accel xen -- true|not one of
exec --tty=yes -- true|takes no value
exec --env FOO -- true|not NAME=VALUE
exec --env 1A=b -- true|not NAME=VALUE
exec --cwd relative -- true|not an absolute
exec --timeout 0 -- true|not a number
exec --arg x|without a --cmd
exec --cmd a -- b|not both
exec --json -t -- true|exclude
exec --name .hidden -- true|a name has
image|what to do
image paint|no such action
image build now|wrong number
T
run "$VMDECK"
[ "$status" -eq 2 ] && [ "$(wc -l <err)" -eq 1 ] || fail "no verb: $status $(cat err)"

# Help: on stdout, 0.
for verb in '' exec image; do
    run "$VMDECK" $verb --help
    [ "$status" -eq 0 ] && grep -q '^Usage: vmdeck' out && [ ! -s err ] || fail "help of '$verb'"
done

# What vmdeck itself fails with: 125.
one_line() {
    [ "$status" -eq 125 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q -- "$1" err ||
        fail "$1: status $status: $(cat err)"
}
run "$VMDECK" exec --image no-such-image -- true
one_line 'no-such-image'
run "$VMDECK" exec --image ./no/such/directory -- true
one_line 'no/such/directory'
run "$VMDECK" exec --image ../../../etc:latest -- true
one_line 'vmdeck exec'
run "$VMDECK" exec --memory 3T -- true
one_line 'QEMU'
run env PATH="$HOME" "$VMDECK" exec -- true
one_line 'qemu-system-x86'
run env XDG_STATE_HOME=/proc/none "$VMDECK" exec -- true
one_line '/proc/none'
if [ -c /dev/kvm ] && ! grep -qwE 'vmx|svm' /proc/cpuinfo; then
    run timeout 30 "$VMDECK" exec --accel kvm -- true
    one_line 'KVM does not work here'
fi

# An image with a byte changed, and one with a part missing.
cp -r "$VMDECK_IMAGE" image && chmod -R u+w image
printf X | dd of=image/rootfs.ext4 bs=1 seek=5000000 conv=notrunc 2>/dev/null
run "$VMDECK" exec --image ./image -- true
one_line 'rootfs'
rm image/kernel
run "$VMDECK" exec --image ./image -- true
one_line 'kernel'
printf '{' >image/manifest.json
run "$VMDECK" exec --image ./image -- true
one_line 'manifest'
rm -rf image

# Arguments of nearly a megabyte reach the command; what is too much is said.
words=$(head -c 900000 /dev/zero | tr '\0' 'a' | fold -w 100000 | tr '\n' ' ')
# shellcheck disable=SC2086
run "$VMDECK" exec -- sh -c 'echo $# ${#1}' sh $words
expect 0 '9 100000' '' 'long command line'

# A guest that prints a gigabyte, and one that floods its console (a slow serial line).
[ "$("$VMDECK" exec -- head -c 1000000000 /dev/zero 2>err | wc -c)" -eq 1000000000 ] || fail "1 GB: $(cat err)"
run "$VMDECK" exec -- sh -c 'head -c 500000 /dev/zero | tr "\0" x >/dev/console; echo survived'
expect 0 'survived' '' 'a flood on the console'

# A host whose disk is full: a file system of 20 MB for the session, in a name space of its own.
[ "$(id -u)" -eq 0 ] && own=(unshare --mount) || own=(unshare --map-root-user --mount)
mkdir small
# shellcheck disable=SC2016
run "${own[@]}" sh -c 'mount -t tmpfs -o size=20M none small && XDG_STATE_HOME=$PWD/small exec "$VMDECK" \
    exec -- sh -c "head -c 100000000 /dev/urandom >/big; sync; echo finished"'
one_line 'no space left on this host'
[ ! -s out ] || fail "disk full: $(cat out)"

nothing_left 'errors'
finish
