#!/usr/bin/env bash
# cppcheck cannot parse the __typeof__ of base/cleanup.h, which is a pointer wherever it is used.
# Results are kept in the build directory: only what changed is analysed again.
. "$(dirname -- "$0")/common.sh"
mkdir -p "$build/lint/cppcheck" || exit 1
files '*.c' | cppcheck --quiet --std=c11 --language=c -j2 --error-exitcode=1 --inline-suppr \
    --enable=warning,performance,portability --suppressions-list=tests/lint/cppcheck.txt \
    --cppcheck-build-dir="$build/lint/cppcheck" -D_GNU_SOURCE -D__linux__ '-D__typeof__(x)=void *' -I. -Itests/unit --file-list=-
