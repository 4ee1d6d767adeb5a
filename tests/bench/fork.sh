#!/usr/bin/env bash
# Benchmarks of forks and snapshots, by hand:   tests/bench/fork.sh [BUILD-DIRECTORY]
#
# N (20) runs a figure, their median; FORKS (50) idle sessions at once; RESUMES (100) of one
# snapshot; TOUCHED (256) MB. The last column is the ratio that the figure is about; absolute times
# belong to the machine they were taken on.
set -eu
root=$(dirname "$(readlink -f "$0")")/../..
build=$(readlink -f "${1:-$root/build/default}")
export VMDECK=$build/vmdeck
VMDECK_IMAGE=${VMDECK_IMAGE:-$(cat "$build/test-image/path")}
export VMDECK_IMAGE
N=${N:-20} FORKS=${FORKS:-50} RESUMES=${RESUMES:-100} TOUCHED=${TOUCHED:-256}
work=$(mktemp -d)
mkdir -m 700 "$work/run"
export HOME=$work XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state XDG_DATA_HOME=$work/data \
    XDG_CACHE_HOME=$work/cache XDG_CONFIG_HOME=$work/config
trap '"$VMDECK" stop --all >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
cd "$work"

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
milliseconds() { # COMMAND…: wall time; no other process is started meanwhile, it would count
    local begin end
    begin=${EPOCHREALTIME/[.,]/}
    "$@" </dev/null >/dev/null 2>failed || { cat failed >&2 && return 1; }
    end=${EPOCHREALTIME/[.,]/}
    echo $(((end - begin) / 1000)).$(((end - begin) / 100 % 10))
}
many() { # TIMES COMMAND…
    local i times=$1
    shift
    for ((i = 0; i < times; i++)); do milliseconds "$@"; done | median
}
row() { printf '%-52s %9s %-3s %s\n' "$@"; }
of() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / b }'; }
stats() { "$VMDECK" stats --json; }

# Commands that a session runs in a new terminal; and the time until a client of a resumed session
# shows the prompt: a pty, because that is what a prompt needs.
inside() { script -qec "'$VMDECK' attach '$1' --new -- $2" /dev/null </dev/null >/dev/null; }
prompt() { # SNAPSHOT: in ms
    python3 - "$VMDECK" "$1" <<'P'
import os, pty, signal, sys, time
begin = time.monotonic()
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "bash", "--resume", sys.argv[2]])
seen = b""
while b"ready> " not in seen:
    seen += os.read(fd, 4096)
print(int((time.monotonic() - begin) * 1000))
os.kill(pid, signal.SIGHUP)
os.close(fd)
os.waitpid(pid, 0)
P
    "$VMDECK" stop --all
}

"$VMDECK" exec -- true 2>/dev/null
row figure "" "" "ratio (aim)"

# In turn, as the machine may be slower in one minute than in the next; each when nothing of the
# one before is left, which the kernel takes apart behind our back.
alone() {
    while pgrep -f "$work" >/dev/null; do :; done
    milliseconds "$@"
}
for ((i = 0; i < N; i++)); do
    alone "$VMDECK" exec --cold -- true >>cold
    alone "$VMDECK" exec -- true >>fork
done
cold=$(median <cold)
fork=$(median <fork)
row 'exec --cold -- true' "$cold" ms ""
row 'exec -- true, forked' "$fork" ms "$(of "$fork" "$cold") of cold (at most 0.083, and 250 ms)"

# --- snapshots, of a shell that did little and of one with a lot of memory

for what in little touched; do
    "$VMDECK" bash --detached --keep --memory 1G --name $what --env 'PS1=ready> ' -- bash --norc -i >/dev/null
    [ $what = little ] || inside touched "sh -c 'head -c ${TOUCHED}000000 /dev/urandom >/dev/shm/x'"
    for ((i = 0; i < N; i++)); do
        "$VMDECK" snapshot $what --keep-running --json --output $what.qcow2 >made
        python3 -c 'import json; print(json.load(open("made"))["stopped_ms"])' >>$what.stopped
        [ $i -eq $((N - 1)) ] || rm $what.qcow2
    done
    "$VMDECK" stop $what
done
stopped=$(median <touched.stopped)
row "snapshot --keep-running, $TOUCHED MB: stands still" "$stopped" ms "$(of "$stopped" 150) (at most 1: 150 ms)"
row 'snapshot --keep-running, little: stands still' "$(median <little.stopped)" ms ""
for what in little touched; do
    [ $what = little ] && limit=400 || limit=800
    first=$(milliseconds "$VMDECK" exec --resume $what.qcow2 -- true) # lays out its memory
    row "exec --resume -- true, $what, the first" "$first" ms "$(of "$first" "$cold") of cold"
    again=$(many "$N" "$VMDECK" exec --resume $what.qcow2 -- true)
    row "exec --resume -- true, $what" "$again" ms "$(of "$again" "$cold") of cold"
    shown=$(for ((i = 0; i < N; i++)); do prompt $what.qcow2; done | median)
    row "bash --resume to its prompt, $what" "$shown" ms "$(of "$shown" $limit) (at most 1: $limit ms)"
done

# --- many resumes of one: each writes and reads its own

begin=$(date +%s%N)
for ((i = 0; i < RESUMES; i++)); do
    [ "$("$VMDECK" exec --resume little.qcow2 -- sh -c "cat /root/mine 2>/dev/null; echo $i >/root/mine; sync; cat /root/mine")" = $i ] ||
        row "resume $i" "" "" 'has the data of another'
done
row "$RESUMES resumes in a row, each" $((($(date +%s%N) - begin) / 1000000 / (RESUMES > 0 ? RESUMES : 1))) ms ""
left=$(find "$XDG_STATE_HOME/vmdeck/sessions" "$XDG_RUNTIME_DIR/vmdeck" -mindepth 1 | wc -l)
row 'files of sessions left behind' "$left" "" "(0)"

# --- idle forks

begin=$(date +%s%N)
for ((i = 0; i < FORKS; i++)); do
    "$VMDECK" bash --detached --keep >/dev/null
done
took=$((($(date +%s%N) - begin) / 1000000))
row "starting $FORKS sessions" $took ms "$(of $took $((FORKS * 250))) (at most 1: 250 ms each)"
stats >before
sleep 20 # the time that the CPU is measured over
stats >after
python3 - before after <<'P' >idle
import json, sys
before, after = [{s["id"]: s for s in json.load(open(name))} for name in sys.argv[1:]]
memory = [s["memory_proportional"] for s in after.values()]
busy = [(after[i]["cpu"] - before[i]["cpu"]) / (after[i]["uptime"] - before[i]["uptime"]) for i in after]
print("%.1f %.2f" % (sum(memory) / len(memory) / 1e6, 100 * sum(busy) / len(busy)))
P
read -r memory busy <idle
row "memory of an idle session, proportional" "$memory" MB "$(of "$memory" 45) (at most 1: 45 MB)"
row "CPU of an idle session" "$busy" % "$(of "$busy" 1) (under 1: 1 %)"
