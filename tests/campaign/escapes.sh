#!/usr/bin/env bash
# tests/e2e/escapes.sh for longer, by hand:   tests/campaign/escapes.sh [SECONDS] [AT-ONCE] [BUILD]
#
# SECONDS (60) for each pattern, AT-ONCE (2) of them side by side, in one VM.
set -eu
root=$(dirname "$(readlink -f "$0")")/../..
export ESCAPE_SECONDS=${1:-60} ESCAPE_JOBS=${2:-2}
build=$(readlink -f "${3:-$root/build/default}")
patterns=$("$root/tests/guest/escapes.py" list | wc -l)
exec "$root/tests/e2e/run_test.sh" "$build/vmdeck" "$build/test-image" \
    "$((ESCAPE_SECONDS * patterns / ESCAPE_JOBS * 2 + 120))" "$root/tests/e2e/escapes.sh"
