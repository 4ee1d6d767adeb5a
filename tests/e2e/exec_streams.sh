#!/usr/bin/env bash
# exec: bytes in and out, exactly, from every kind of stdin, and with readers that are slow or gone.
. "$(dirname "$0")/lib.sh"
quiet_notice

# 64 MB both ways at once, through one pipe and back.
head -c 67108864 /dev/urandom >bytes
"$VMDECK" exec -- cat <bytes >back 2>err || fail "cat of a file: $(cat err)"
cmp bytes back || fail "64 MB through cat differ"
rm -f back

run "$VMDECK" exec -- wc -c <bytes
expect 0 '67108864' '' 'stdin from a file'
head -c 1000001 bytes | "$VMDECK" exec -- wc -c >out 2>err
expect 0 '1000001' '' 'stdin from a pipe'
run "$VMDECK" exec -- wc -c </dev/null
expect 0 '0' '' 'stdin from /dev/null'
run "$VMDECK" exec -- wc -c <&-
expect 0 '0' '' 'stdin closed'
rm -f bytes

# A command that does not read its input, and one that ends before all of it was read.
head -c 30000000 /dev/zero | "$VMDECK" exec -- sh -c 'echo done' >out 2>err
expect 0 'done' '' 'input that nobody reads'
head -c 30000000 /dev/zero | "$VMDECK" exec -- head -c 5 >out 2>err
[ "$(wc -c <out)" -eq 5 ] || fail 'head of a long input'

# The reader goes away: the command gets SIGPIPE, as it would in a pipe.
"$VMDECK" exec -- yes 2>err | head -n 1 >out
[ "$(cat out)" = y ] || fail 'yes | head'

# A background child neither holds the command open nor is killed with it.
run timeout 60 "$VMDECK" exec --cmd sh \
    --arg -c --arg '(while sleep 0.1; do echo x; echo alive >>/tmp/alive; done) & echo started' \
    --cmd sh --arg -c --arg 'rm -f /tmp/alive; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -s /tmp/alive ] && exit 0; sleep 0.2; done; exit 9'
[ "$status" -eq 0 ] || fail "background child: status $status: $(cat err)"
[ "$(head -n 1 out)" = started ] || fail "background child: $(head -c 200 out)"

# A slow reader: what the guest produced meanwhile is not piled up on the host.
mkfifo slow
"$VMDECK" exec -- sh -c 'head -c 400000000 /dev/zero' >slow 2>err &
client=$!
exec 8<slow
head -c 3000000 <&8 >/dev/null # the stream is under way, and stands still from now on
host=$(our_hosts)
for pid in $client $host; do
    peak=$(awk '/VmHWM/ {print $2}' "/proc/$pid/status")
    data=$(awk '/VmData/ {print $2}' "/proc/$pid/status")
    [ "$peak" -lt 32768 ] || [ -n "${VMDECK_SANITIZED-}" ] || fail "slow reader: $pid has $peak kB (data $data kB)"
done
[ "$(wc -w <<<"$host")" -eq 1 ] || fail "slow reader: no single host: '$host'"
exec 8<&-
wait "$client"

nothing_left 'streams'
finish
