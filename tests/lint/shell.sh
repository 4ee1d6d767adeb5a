#!/usr/bin/env bash
. "$(dirname -- "$0")/common.sh"
mapfile -t scripts < <(files '*.sh' '*.bash' && echo ./run && echo ./check && echo ./.ci/run)
shellcheck --severity=warning --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
