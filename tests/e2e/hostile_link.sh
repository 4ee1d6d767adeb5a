#!/usr/bin/env bash
# A guest as root that forges frames, floods, opens 10,000 connections, never reads and lies: the
# host's process stays small, other connections go on, and nothing reaches an address that it
# should not.
#
# HOSTILE_ROUNDS: how often all of that, each time with other random frames (1).
. "$(dirname "$0")/lib.sh"
quiet_notice
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
growth_max=$((64 * 1024)) # KiB

mkfifo reached
"$(dirname "$0")/hostile_witness.py" >reached &
witness=$!
trap 'kill "$witness"' EXIT
exec {reached}<reached
read -r -t 60 open forbidden <&"$reached" || fail 'no witness'

mkdir scripts && cp "$(dirname "$0")/hostile_guest.py" scripts/
coproc guest {
    exec timeout 220 "$VMDECK" exec --name hostile --allow-host "site.test:$open" --allow-internal site.test \
        --resolve site.test=127.0.0.1 --resolve evil.test=127.0.0.1 --mount-hostfs "$PWD/scripts:/scripts:ro" -- \
        python3 -u /scripts/hostile_guest.py "$open" "$forbidden" "${HOSTILE_ROUNDS:-1}" 2>guest.err
}
# shellcheck disable=SC2154
guest_pid=$guest_PID
exec {said}<&"${guest[0]}" {say}>&"${guest[1]}"
trap '' PIPE # whoever died meanwhile is not answered, and told of below

# memory FIELD: of the host's process, in KiB.
memory() { sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$host/status"; }

# sockets: what the host's process is connected to, as the kernel writes it. Clients and QEMU are
# on Unix sockets.
sockets() {
    local inodes
    inodes=$(find "/proc/$host/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n' | sort)
    awk 'NR == FNR { ours[$1]; next } $10 in ours { print $3 }' - "/proc/$host/net/tcp" \
        "/proc/$host/net/tcp6" "/proc/$host/net/udp" "/proc/$host/net/udp6" <<<"$inodes" | sort | uniq -c
}
allowed=$(printf '0100007F:%04X' "$open")

attacks=0
while read -r -u "$said" word what; do
    case $word in
    look)
        if [ "$what" = idle ]; then
            host=$("$VMDECK" list --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["pid"])')
            echo 5 >"/proc/$host/clear_refs" || fail 'the peak of the memory cannot be reset'
            idle=$(memory VmRSS)
        fi
        sockets >"sockets.$what"
        echo >&"$say"
        ;;
    done) peak=$(memory VmHWM) finished=1 ;;
    *) attacks=$((attacks + 1)) && echo "$word: $what s" ;;
    esac
done
wait "$guest_pid"
status=$?
[ "$status" -eq 0 ] && [ "${finished-}" = 1 ] || fail "the guest, status $status: $(tail -n 9 guest.err)"
[ "$attacks" -eq $((6 * ${HOSTILE_ROUNDS:-1})) ] || fail "$attacks attacks"
[ "$((${peak:-$growth_max} - ${idle:-0}))" -lt "$growth_max" ] ||
    fail "the host's process grew from ${idle-} to ${peak-} KiB"
printf 'the host: %s KiB when idle, at most %s\n' "${idle-}" "${peak-}"
grep -q "$allowed" sockets.deaf || fail "nothing was fetched: $(cat sockets.deaf)"
grep -hv "$allowed" sockets.* && fail "the host is connected to what nobody allowed"

# Our own connection is the first one to the forbidden port.
own=$(python3 -c 'import socket, sys
print("reached", socket.create_connection(("127.0.0.1", int(sys.argv[1]))).getsockname())' "$forbidden")
read -r -t 60 line <&"$reached"
[ "$line" = "$own" ] || fail "the witness: $line"

"$VMDECK" events --json --type net | python3 -c '
import json, sys
events = [json.loads(line) for line in sys.stdin]
allowed = {(e["host"], e.get("address")) for e in events if e["verdict"] == "allow" and e["protocol"] != "dns"}
assert allowed <= {("site.test", "127.0.0.1"), ("site.test", None)}, allowed
assert allowed and any(e["host"] == "evil.test" and e["verdict"] == "deny" for e in events)
' || fail 'the events tell of something else'
nothing_left 'after all'
finish
