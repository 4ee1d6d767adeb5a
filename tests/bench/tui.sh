#!/usr/bin/env bash
# Benchmarks of the dashboard, by hand:   tests/bench/tui.sh [BUILD-DIRECTORY] [ROUNDS]
#
# Without a VM, whose emulation would hide it (tui_bench.c): first frame, echo beside floods, a slow
# line, `cat` against tmux. With one: the memory of ten full scrollbacks, and what an idle dashboard
# does (strace).
set -eu
root=$(dirname "$(readlink -f "$0")")/../..
build=$(readlink -f "${1:-$root/build/default}")
export VMDECK=$build/vmdeck
VMDECK_IMAGE=${VMDECK_IMAGE:-$(cat "$build/test-image/path")}
export VMDECK_IMAGE
work=$(mktemp -d)
mkdir -m 700 "$work/run"
export HOME=$work XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache \
    XDG_DATA_HOME=$work/data XDG_CONFIG_HOME=$work/config VMDECK_SPARES=0
unset TMUX TMUX_PANE
t() { tmux -u -f /dev/null -S "$work/tmux" "$@"; }
leave() {
    t kill-server 2>/dev/null || true
    "$VMDECK" stop --all 2>/dev/null || true
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 143' TERM INT HUP
cd "$work"

"$build/tests/tui_bench" "$VMDECK" "${2:-3}"
rm -rf "$work/state" # what its sessions left

"$VMDECK" bash --detached --memory 256M --name full >/dev/null
{
    echo 'timeout 120'
    echo 'wait Fleet'
    for i in 1 2 3 4 5 6 7 8 9 10; do
        [ "$i" = 1 ] && echo 'key Enter' || echo 'key |'
        printf '%s\n' 'wait goes to the guest' 'type clear; seq 12000; echo full-$((40+2))' 'key Enter' \
            'wait full-42' 'key C-]' 'wait Fleet' 'key ='
        echo 'key C-]'
    done
    echo "save $work/full"
} >keys
t new-session -d -s a -x 200 -y 60 'TERM=screen-256color exec "$VMDECK" --script keys'
until [ -s full ]; do
    t has-session -t a 2>/dev/null || { echo 'tui.sh: the script of keys failed' >&2 && exit 1; }
    sleep 0.2
done
pid=$(t display-message -p -t a: '#{pane_pid}')
host=$("$VMDECK" list --json | grep -o '"pid":[0-9]*' | head -n 1 | cut -d: -f2)
echo "resident with ten terminals of 12000 lines: dashboard $(awk '/VmRSS/ {print $2, $3}' "/proc/$pid/status")," \
    "session host $(awk '/VmRSS/ {print $2, $3}' "/proc/$host/status")"

idle() { # WHAT
    sleep 4 # what was out of sight is let go
    local before after
    before=$(cut -d ' ' -f 14,15 "/proc/$pid/stat")
    timeout --signal=INT 20 strace -f -p "$pid" -o trace 2>/dev/null || true
    after=$(cut -d ' ' -f 14,15 "/proc/$pid/stat")
    echo "idle 20 s, $1: $(grep -c epoll_wait trace || true) wake-ups, $(grep -cv 'resumed\|detached\|attached' trace || true) system calls," \
        "ticks $before -> $after"
}
idle 'the fleet'
t send-keys -t a: C-]
idle 'ten panes'
t send-keys -t a: C-]
t send-keys -t a: l
idle 'the event log'
t send-keys -t a: C-c
