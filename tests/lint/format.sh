#!/usr/bin/env bash
. "$(dirname -- "$0")/common.sh"
files '*.c' '*.h' | tr '\n' '\0' | xargs -0 -r clang-format --dry-run -Werror
