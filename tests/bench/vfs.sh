#!/usr/bin/env bash
# Benchmarks of mounts, by hand:   tests/bench/vfs.sh [BUILD-DIRECTORY] [MEGABYTES]
#
# In one VM, so that the figures can be compared: sequential write and read, small files, stat and
# find on a host directory, memory, and the guest's own ext4.
set -eu
root=$(dirname "$(readlink -f "$0")")/../..
build=${1:-$root/build/default}
export VMDECK=$build/vmdeck
VMDECK_IMAGE=${VMDECK_IMAGE:-$(cat "$build/test-image/path")}
export VMDECK_IMAGE MEGABYTES=${2:-256}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/host"

"$VMDECK" exec --memory 1G --env MEGABYTES="$MEGABYTES" --mount-hostfs "$work/host:/host" --mount-memfs /mem \
    -- python3 - <<'P'
import os, subprocess, time

size = int(os.environ["MEGABYTES"])


def timed(run):
    begin = time.monotonic()
    run()
    return time.monotonic() - begin


def drop():
    os.sync()
    open("/proc/sys/vm/drop_caches", "w").write("3")


def write(path):
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


def create(path):
    os.mkdir(path)
    for i in range(1000):
        with open(f"{path}/{i}", "w") as file:
            file.write("x" * 100)


def stat(path):
    for i in range(1000):
        os.stat(f"{path}/{i}")


print(f"{'':10} {'write':>8} {'read':>8} {'again':>8} {'create':>8} {'stat':>8} {'cached':>8} {'find':>8} {'remove':>8}")
print(f"{'':10} {'MiB/s':>8} {'MiB/s':>8} {'MiB/s':>8} {'1/s':>8} {'1/s':>8} {'1/s':>8} {'ms':>8} {'1/s':>8}")
for name in ("/root", "/host", "/mem"):
    file, files = f"{name}/data", f"{name}/files"
    figures = [size / timed(lambda: write(file))]
    drop()
    figures += [size / timed(lambda: read(file)), size / timed(lambda: read(file))]
    os.unlink(file)
    figures.append(1000 / timed(lambda: create(files)))
    drop()
    figures += [1000 / timed(lambda: stat(files)), 1000 / timed(lambda: stat(files))]
    drop()
    figures.append(1000 * timed(lambda: subprocess.run(["find", files], stdout=subprocess.DEVNULL)))
    figures.append(1000 / timed(lambda: subprocess.run(["rm", "-r", files])))
    print(f"{name:10} " + " ".join(f"{figure:8.0f}" for figure in figures), flush=True)
P
