#!/usr/bin/env bash
# What people do in a working tree (tests/guest/mount_tools.sh), on every kind of mount: the same
# comes of it as on the guest's own disk. Small trees, and the tools that the image has;
# tests/campaign/mount_tools.sh has the others.
. "$(dirname "$0")/lib.sh"
quiet_notice
mkdir host results
run "$VMDECK" exec --mount-hostfs "$(dirname "$(readlink -f "$0")")/../guest:/tools:ro" --mount-hostfs results:/results \
    --mount-hostfs host:/host --mount-memfs /mem --shadow '/host/private=tmpfs' -- bash -c '
    /tools/mount_tools.sh /root/local 15 >/results/local 2>&1
    for directory in /host/tree /mem/tree /host/private/tree; do
        TOOLS_HOME=/tmp/home-${directory//\//-} /tools/mount_tools.sh $directory 15 >/results/${directory//\//-} 2>&1 &
    done
    wait'
[ "$status" -eq 0 ] || fail "status $status: $(cat err)"
for tool in git status git_changes sqlite tar; do
    grep -qx -e "--- $tool" results/local || fail "$tool was not tried"
done
grep -q "('ok',) (30" results/local || fail "SQLite on the guest's own disk: $(cat results/local)"
for kind in host-tree mem-tree host-private-tree; do
    diff "results/local" "results/-$kind" >difference || fail "$kind: $(head -n 30 difference)"
done
[ -z "$(find host -mindepth 2)" ] || fail "left on the host: $(find host -mindepth 2)"
nothing_left mount_tools
finish
