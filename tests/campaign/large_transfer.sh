#!/usr/bin/env bash
# Transfers over 4 GiB, each as one, by hand:   tests/campaign/large_transfer.sh [BUILD] [MIB]
#
# TCP by --tcp-map, HTTP and intercepted HTTPS, into a guest and out of it: counters and sequence
# numbers pass 2^32, and every byte is compared. 4608 MiB take a quarter of an hour under emulation.
set -eu
here=$(dirname "$(readlink -f "$0")")
build=$(readlink -f "${1:-$here/../../build/default}")
mib=${2:-4608}
VMDECK_IMAGE=${VMDECK_IMAGE:-$(cat "$build/test-image/path")}
export VMDECK_IMAGE
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
# shellcheck source=../e2e/lib.sh
. "$here/../e2e/lib.sh"
work=$(mktemp -d)
cd "$work"
server_certificate DNS:site.test
coproc server { exec "$here/large_transfer.py" serve "$mib"; }
# shellcheck disable=SC2154
trap 'kill "$server_PID"; rm -rf "$work"' EXIT
read -r tcp http https <&"${server[0]}"
"$build/vmdeck" exec --tcp-map "sink.test:99=127.0.0.1:$tcp" --allow-internal site.test \
    --resolve site.test=127.0.0.1 --upstream-ca ca.pem -- \
    python3 -c "$(cat "$here/large_transfer.py")" guest "$mib" sink.test:99 "site.test:$http" "site.test:$https"
