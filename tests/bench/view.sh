#!/usr/bin/env bash
# Benchmarks of terminals, by hand:   tests/bench/view.sh [BUILD-DIRECTORY] [ROUNDS]
#
# Throughput against tmux in the same run; a keystroke's echo beside five sessions that run `yes`,
# and how soon Ctrl-C is heard; wake-ups of a detached session (strace).
set -eu
root=$(dirname "$(readlink -f "$0")")/../..
build=$(readlink -f "${1:-$root/build/default}")
"$build/tests/view_bench" "${2:-3}"

export VMDECK=$build/vmdeck
VMDECK_IMAGE=${VMDECK_IMAGE:-$(cat "$build/test-image/path")}
export VMDECK_IMAGE
work=$(mktemp -d)
mkdir -m 700 "$work/run"
export XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state
hosts() { # process ids of this run's session hosts: QEMU's parents
    local qemu
    for qemu in $(pgrep -f "qemu-system.*$work"); do ps -o ppid= "$qemu"; done
}
# shellcheck disable=SC2046
trap 'kill $(hosts) 2>/dev/null || true; rm -rf "$work"' EXIT

"$VMDECK" exec -- true 2>/dev/null
idle=$("$VMDECK" bash --detached --memory 128M)
pid=$(hosts | tr -d ' ')
sleep 3 # the guest's own start, measured by nobody
timeout --signal=INT 10 strace -f -p "$pid" -o "$work/trace" 2>/dev/null || true
echo "system calls of the idle session host in 10 s: $(grep -cv 'unfinished\|detached\|attached' "$work/trace")"
awk '/VmRSS/ {print "resident: " $2, $3}' "/proc/$pid/status"
grep -c . /proc/"$pid"/task/*/comm | wc -l | sed 's/^/threads: /'

for _ in 1 2 3 4 5; do
    "$VMDECK" bash --detached --memory 128M -- yes >/dev/null
done
"$build/tests/echo_bench" "$idle"
