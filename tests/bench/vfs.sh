#!/usr/bin/env bash
# Benchmarks of mounts, by hand:   tests/bench/vfs.sh [BUILD-DIRECTORY] [MEGABYTES]
#
# In one VM, so that the figures can be compared: the guest's own ext4, a host directory, memory.
# Files are made and looked at by one process (a shell that runs touch(1) measures fork), the best
# of three; "cold" is with the guest's caches dropped. Then how often the host was asked for each of
# these, from its log of requests, which does not depend on how busy the machine is: "waits" are
# round trips, the others (RELEASE, FORGET) are sent and nobody waits. git and other tools on trees:
# tests/campaign/mount_tools.sh.
#
# A note for figures: nothing else may run; 2 CPUs are enough. Ratios to ext4 and to Gondolin's
# figures (emulated, on such a machine) are printed below.
set -eu
root=$(dirname "$(readlink -f "$0")")/../..
build=$(readlink -f "${1:-$root/build/default}")
export VMDECK=$build/vmdeck
VMDECK_IMAGE=${VMDECK_IMAGE:-$(cat "$build/test-image/path")}
export VMDECK_IMAGE MEGABYTES=${2:-256}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/host" "$work/scripts"
cat >"$work/scripts/work.py" <<'P'
import os, subprocess, sys, time

COUNT, TREE = 1000, (50, 100)


def timed(run):
    begin = time.monotonic()
    run()
    return time.monotonic() - begin


def drop():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def write(path, size):
    block = os.urandom(1 << 20)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for _ in range(size):
        os.write(fd, block)
    os.fsync(fd)
    os.close(fd)


def read(path):
    fd = os.open(path, os.O_RDONLY)
    while os.read(fd, 1 << 20):
        pass
    os.close(fd)


def names(path, count):
    return [f"{path}/{i}" for i in range(count)]


def create(path, count):
    for name in names(path, count):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))


def fill(path, count):
    for name in names(path, count):
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, b"x" * 100)
        os.close(fd)


def stat(path, count):
    for name in names(path, count):
        os.stat(name)


def remove(path, count):
    for name in names(path, count):
        os.unlink(name)


def find(path, _):
    subprocess.run(["find", path], stdout=subprocess.DEVNULL, check=True)


# name, what is done, whether with cold caches
PHASES = (
    ("create", create, False),
    ("stat, cold", stat, True),
    ("stat, cached", stat, False),
    ("remove", remove, False),
    ("create and write", fill, False),
    ("list, cold", find, True),
    ("stat, listed", stat, False),
    ("remove", remove, False),
)


def small(path, count, around):
    for name, work, cold in PHASES:
        if cold:
            drop()
        around(name, lambda: work(path, count))
P
cat >"$work/scripts/rates.py" <<'P'
import os
from work import *

GONDOLIN = {"write": 18.6, "read, cold": 19.7, "create": 104, "stat, cold": 476, "find 5001": 1 / 7.6}
size = int(os.environ["MEGABYTES"])
systems = {"/root": "ext4", "/host": "host", "/mem": "memory"}
rates = {}


def measure(top):
    figures = {}

    def note(name, run, amount=COUNT):
        figures[name] = max(figures.get(name, 0), amount / timed(run))

    note("write", lambda: write(f"{top}/data", size), size)
    drop()
    note("read, cold", lambda: read(f"{top}/data"), size)
    note("read, cached", lambda: read(f"{top}/data"), size)
    os.unlink(f"{top}/data")
    os.mkdir(f"{top}/files")
    for _ in range(3):
        small(f"{top}/files", COUNT, note)
    for i in range(TREE[0]):
        os.makedirs(f"{top}/tree/{i}")
        create(f"{top}/tree/{i}", TREE[1] - 1)
    for _ in range(3):
        drop()
        note("find 5001", lambda: find(f"{top}/tree", 0), 1)
    return figures


for top, system in systems.items():
    rates[system] = measure(top)
print(f"{'per second; MiB':18} {'ext4':>9} {'host':>9} {'memory':>9}   host/ext4 memory/ext4 host/Gondolin")
for name in rates["ext4"]:
    ext4, host, memory = (rates[system][name] for system in systems.values())
    other = f"{host / GONDOLIN[name]:9.1f}" if name in GONDOLIN else ""
    digits = 2 if ext4 < 50 else 0
    print(f"{name:18} {ext4:9.{digits}f} {host:9.{digits}f} {memory:9.{digits}f}   "
          f"{host / ext4:9.2f} {memory / ext4:9.2f}   {other}")
P
cat >"$work/scripts/marks.py" <<'P'
import os
from work import *


def mark(name, run):
    os.statvfs("/host")  # the log's mark: no other asks this of the mount's root
    run()


os.mkdir("/host/files")
small("/host/files", 200, mark)
os.statvfs("/host")
P
"$VMDECK" exec --memory 1G --env MEGABYTES="$MEGABYTES" --mount-hostfs "$work/host:/host" --mount-memfs /mem \
    --mount-hostfs "$work/scripts:/scripts:ro" -- python3 /scripts/rates.py
rm -rf "$work/host"
mkdir "$work/host"
XDG_STATE_HOME=$work/state VMDECK_DEBUG=vfs VMDECK_SPARES=0 "$VMDECK" exec \
    --mount-hostfs "$work/host:/host" --mount-hostfs "$work/scripts:/scripts:ro" -- python3 /scripts/marks.py
python3 - "$work" <<'P'
import collections, re, sys
sys.path.insert(0, sys.argv[1] + "/scripts")
from work import PHASES

phases = []
for line in open(sys.argv[1] + "/state/vmdeck/log/host.log", errors="replace"):
    found = re.search(r"mount 1: (\w+|\?) node (\w+)", line)
    if found and found[1] == "statfs" and found[2] == "1":
        phases.append(collections.Counter())
    elif found and phases:
        phases[-1][found[1]] += 1
print("requests to the host for each file")
for (name, _, _), counts in zip(PHASES, phases):
    silent = sum(counts[op] for op in ("release", "releasedir", "forget", "batch_forget"))
    waits = sum(counts.values()) - silent
    what = ", ".join(f"{op} {count / 200:.2f}" for op, count in counts.most_common() if count >= 10)
    print(f"{name:18} waits {waits / 200:5.2f}, others {silent / 200:5.2f}   {what}")
P
