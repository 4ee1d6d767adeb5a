#!/usr/bin/env bash
# run_test.sh VMDECK IMAGE-FIXTURE SECONDS TEST
#
# Runs one end-to-end test with VMDECK (the program), VMDECK_IMAGE (the fixture's asset directory)
# and a HOME and XDG directories of its own, which are its working directory and are gone
# afterwards. A process that still runs when the test has ended is killed and fails the test; it is
# known by the directory's unique name in its environment or command line.
set -u
export VMDECK=$1
fixture=$2 seconds=$3 test=$4

if [ -z "${VMDECK_IMAGE-}" ]; then
    VMDECK_IMAGE=$(cat "$fixture/path") || exit 1
fi
export VMDECK_IMAGE

home=$(mktemp -d "${TMPDIR:-/tmp}/vmdeck-e2e.XXXXXX") || exit 1
remaining() { # the name comes by stdin, or grep would find itself
    # shellcheck disable=SC2062
    grep -lsF -f - /proc/[0-9]*/environ /proc/[0-9]*/cmdline <<<"$home" | tr -cd '0-9\n' | sort -u
}
# a test may have left directories that only root could empty
trap 'chmod -R u+rwX "$home" 2>/dev/null; rm -rf "$home"' EXIT
trap 'exit 143' TERM INT HUP
mkdir "$home/tmp" "$home/run" && chmod 700 "$home/run" || exit 1

# Templates are shared between the tests: made once, then everybody forks.
mkdir -p "$fixture.cache/vmdeck/templates" "$home/cache/vmdeck" &&
    ln -s "$fixture.cache/vmdeck/templates" "$home/cache/vmdeck/templates" || exit 1

# The environment is changed for the test only: else this shell would find itself.
(
    cd "$home" || exit 1
    exec env HOME="$home" TMPDIR="$home/tmp" XDG_RUNTIME_DIR="$home/run" \
        XDG_DATA_HOME="$home/data" XDG_STATE_HOME="$home/state" XDG_CACHE_HOME="$home/cache" \
        XDG_CONFIG_HOME="$home/config" timeout --kill-after=5 "$seconds" "$test"
) </dev/null
status=$?
[ "$status" -ne 124 ] || echo "the test took more than $seconds s"

for _ in 1 2 3 4 5 6 7 8 9 10; do # what was just told to end gets a second
    left=$(remaining)
    [ -n "$left" ] || exit "$status"
    sleep 0.1
done
for pid in $left; do
    printf 'left behind: %s %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline")"
    kill -KILL "$pid"
done
exit 1
