#!/usr/bin/env bash
# exec: what a command prints and returns, its arguments, environment, directory, groups, JSON.
. "$(dirname "$0")/lib.sh"
quiet_notice

run "$VMDECK" exec -- uname -s -n
expect 0 'Linux vmdeck-[0-9a-f]{4}' '' 'uname'

run "$VMDECK" exec --name my-vm -- sh -c 'hostname; echo out; echo err >&2; exit 7'
expect 7 $'my-vm\nout' 'err' 'streams and status'

run "$VMDECK" exec -- sh -c 'kill -9 $$'
expect 137 '' '' 'killed by a signal'

# One VM, many commands: the groups' environment and directory, and the first status that is not 0.
run "$VMDECK" exec --env BASE=base --env OVER=vm --cwd /tmp \
    --cmd sh --arg -c --arg 'echo "$BASE $EXTRA $OVER $PWD"' --env EXTRA=extra --env OVER=cmd --cwd /usr \
    --cmd sh --arg -c --arg 'echo "$BASE $EXTRA $OVER $PWD"; exit 3' \
    --cmd printf --arg '[%s]' --arg '' --arg 'a b' --arg $'new\nline' --arg $'\xff\xfe' \
    --cmd no-such-command \
    --cmd /etc/passwd \
    --cmd pwd --cwd /no/such/directory \
    --cmd sh --arg -c --arg 'exit 4' \
    --cmd sh --arg -c --arg 'echo $HOME $USER $(id -u) $(tty); ls /proc/self/fd | tr -d "\n"'
[ "$status" -eq 3 ] || fail "groups: status $status, not 3"
printf 'base extra cmd /usr\nbase  vm /tmp\n[][a b][new\nline][\xff\xfe]/root root 0 not a tty\n0123' >wanted
cmp -s <(tr -d '\n' <wanted) <(tr -d '\n' <out) || fail "groups: stdout is $(cat -v out)"
grep -q 'no-such-command.*not found' err || fail "not found is not said: $(cat err)"
grep -q '/etc/passwd.*ermission' err || fail "not executable is not said: $(cat err)"
grep -q '/no/such/directory' err || fail "bad directory is not said: $(cat err)"
[ "$(wc -l <err)" -eq 3 ] || fail "groups: not one line per failure: $(cat err)"

run "$VMDECK" exec -- no-such-command
expect 127 '' 'vmdeck exec: no-such-command: command not found.*' 'command not found'
run "$VMDECK" exec -- /etc/passwd
expect 126 '' 'vmdeck exec: /etc/passwd: .*' 'not executable'

run "$VMDECK" exec --json --cmd sh --arg -c --arg 'printf "a\\377\\000b"; echo e >&2; exit 5' \
    --cmd sh --arg -c --arg 'kill -15 $$' --cmd true
[ "$status" -eq 5 ] || fail "json: status $status"
python3 - out <<'P' || fail "json: $(cat out err)"
import json, sys
one, two, three = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert one["exit"] == 5 and one["signal"] is None, one
assert one["stdout"] == "a\ufffd\ufffdb" and one["stderr"] == "e\n", one
assert two["exit"] == 143 and two["signal"] == 15, two
assert three["exit"] == 0 and 0 < three["duration"] < 60, three
P

# The VM's shape.
run "$VMDECK" exec --memory 300M --cpus 2 --rootfs-size 6G --cmd nproc \
    --cmd sh --arg -c --arg 'awk "/MemTotal/ {print (\$2 > 200000 && \$2 < 307200)}" /proc/meminfo' \
    --cmd sh --arg -c --arg 'df -k / | awk "END {print (\$2 > 5500000 && \$2 < 6291456)}"'
expect 0 $'2\n1\n1' '' 'memory, CPUs, disk'

nothing_left 'exec'
finish
