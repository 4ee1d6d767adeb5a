#!/usr/bin/env bash
# Working trees on mounts at full size, by hand:   tests/campaign/mount_tools.sh [BUILD] [FILES]
#
# tests/guest/mount_tools.sh on the guest's own ext4 and on every provider, and what it says
# compared; with the time that each tool took. The guest gets this machine's /usr (read-only, on a
# mount), so all tools have to be installed here: git, npm, make, gcc, rsync, tar, Python. $TOOLS: a
# directory with a usr/bin of more of them.
set -eu
root=$(dirname "$(readlink -f "$0")")/../..
build=$(readlink -f "${1:-$root/build/default}")
files=${2:-5000}
export VMDECK=$build/vmdeck
VMDECK_IMAGE=${VMDECK_IMAGE:-$(cat "$build/test-image/path")}
export VMDECK_IMAGE
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/host" "$work/results"
"$VMDECK" exec --memory 2G --mount-hostfs "$root/tests/guest:/tools:ro" --mount-hostfs "$work/host:/host" \
    --mount-hostfs "$work/results:/results" --mount-memfs /mem --shadow '/host/private=tmpfs' \
    --mount-hostfs /usr:/machine/usr:ro --mount-hostfs /etc/alternatives:/machine/alternatives:ro \
    --mount-hostfs "${TOOLS:-/usr}:/machine/more:ro" --env FILES="$files" -- bash -c '
    mount --bind /machine/usr /usr && mount --bind /machine/alternatives /etc/alternatives
    export PATH=$PATH:/machine/more/usr/bin
    export LD_LIBRARY_PATH=/machine/more/usr/lib/x86_64-linux-gnu
    for directory in /root/local /host/tree /mem/tree /host/private/tree; do
        name=$(echo ${directory#/} | tr / -)
        TIMES=/results/$name.times /tools/mount_tools.sh $directory "$FILES" >/results/$name 2>&1
    done'
status=0
for name in host-tree mem-tree host-private-tree; do
    diff "$work/results/root-local" "$work/results/$name" >"$work/diff" && echo "$name: as on ext4" && continue
    echo "$name: not as on ext4:" && head -n 40 "$work/diff" && status=1
done
grep -h 'no .* here' "$work/results/root-local" || true
echo "ms, in this order: ext4, host directory, memory, private (shadow)"
paste "$work"/results/{root-local,host-tree,mem-tree,host-private-tree}.times |
    awk '{ printf "%-12s %8s %8s %8s %8s\n", $1, $2, $5, $8, $11 }'
exit "$status"
