#!/usr/bin/env bash
# Benchmarks of exec, by hand:   tests/bench/exec.sh [BUILD-DIRECTORY]
#
# In one run, so that the figures can be compared: a cold `exec -- true` against the same kernel
# with a busybox initramfs that prints a line and powers off; a command in a running VM; 64 MB
# through cat in each direction against the raw port; memory of an idle host.
set -eu
root=$(dirname "$(readlink -f "$0")")/../..
build=$(readlink -f "${1:-$root/build/default}")
export VMDECK=$build/vmdeck
VMDECK_IMAGE=${VMDECK_IMAGE:-$(cat "$build/test-image/path")}
export VMDECK_IMAGE
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
milliseconds() { # COMMAND…: wall time
    local begin end
    begin=${EPOCHREALTIME/[.,]/}
    "$@" </dev/null >/dev/null 2>&1
    end=${EPOCHREALTIME/[.,]/}
    echo $(((end - begin) / 1000))
}

# The baseline: bzImage as Debian ships it is not in the image, so the same vmlinux is booted.
apt-get download -qq busybox-static >/dev/null 2>&1
dpkg-deb -x busybox-static*.deb busybox
python3 - "$work/base.cpio" busybox/bin/busybox <<'P'
import sys
def entry(out, name, mode, data=b"", major=0, minor=0, ino=[0]):
    ino[0] += 1
    name = name.encode() + b"\0"
    head = b"070701" + b"".join(b"%08X" % x for x in (
        ino[0], mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name), 0))
    for part in (head + name, data):
        out.write(part + b"\0" * (-len(part) % 4))
with open(sys.argv[1], "wb") as out:
    entry(out, "dev", 0o40755)
    entry(out, "dev/console", 0o20600, b"", 5, 1)
    entry(out, "busybox", 0o100755, open(sys.argv[2], "rb").read())
    entry(out, "init", 0o100755, b"#!/busybox sh\n/busybox echo HELLO\n/busybox poweroff -f\n")
    entry(out, "TRAILER!!!", 0)
P
baseline() {
    qemu-system-x86_64 -accel tcg -machine q35 -nodefaults -no-user-config -display none \
        -serial stdio -no-reboot -m 512 -kernel "$VMDECK_IMAGE/kernel" -initrd base.cpio \
        -append "console=ttyS0 quiet panic=-1"
}
"$VMDECK" exec -- true 2>/dev/null
for _ in 1 2 3 4 5 6 7; do
    milliseconds baseline >>base
    milliseconds "$VMDECK" exec --cold -- true >>cold
done
base=$(median <base) cold=$(median <cold)
echo "kernel + busybox initramfs, ms: $base"
echo "cold exec -- true, ms:          $cold  ($(awk "BEGIN { printf \"%.2f\", $cold / $base }") of it; at most 1.5)"

"$build/tests/command_bench"

# The command's own time is taken in the guest, so that the boot is not in it.
head -c 67108864 /dev/urandom >data
rate() { awk -v s="$1" 'BEGIN { printf "%.0f MB/s\n", 67.1 / s }'; }
for _ in 1 2 3; do
    "$VMDECK" exec -- bash -c 'dd if=/dev/zero of=/tmp/z bs=1M count=64 2>/dev/null; s=$EPOCHREALTIME
        cat /tmp/z; e=$EPOCHREALTIME; echo "$(( (${e/./} - ${s/./}) )) us" >&2' 2>>out.us >/dev/null
    "$VMDECK" exec -- bash -c 'read -r -N 1 _; s=$EPOCHREALTIME; cat >/dev/null; e=$EPOCHREALTIME
        echo "$(( (${e/./} - ${s/./}) )) us"' <data >>in.us
done
echo "64 MB out of the guest: $(rate "$(median <out.us | awk '{print $1/1e6}')")"
echo "64 MB into the guest:   $(rate "$(median <in.us | awk '{print $1/1e6}')")"

"$VMDECK" exec -- sleep 12 &
sleep 8
for pid in $(pgrep -f 'vmdeck session-host') $!; do
    before=$(awk '{print $14 + $15}' "/proc/$pid/stat")
    sleep 2
    after=$(awk '{print $14 + $15}' "/proc/$pid/stat")
    echo "$(tr '\0' ' ' <"/proc/$pid/cmdline"): $(awk '/VmRSS/ {print $2, $3}' "/proc/$pid/status")" \
        "resident, $((after - before)) ticks of CPU in 2 s"
done
wait
