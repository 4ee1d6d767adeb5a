#!/usr/bin/env bash
# Man pages must render without a warning.
. "$(dirname -- "$0")/common.sh"
for page in man/*.[1-8]; do
    [ -e "$page" ] || continue
    wrong "groff" < <(groff -mandoc -Kutf8 -Tutf8 -ww -z "$page" 2>&1)
done
exit "$status"
