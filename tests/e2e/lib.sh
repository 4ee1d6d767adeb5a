# shellcheck shell=bash
# What the end-to-end tests share. Sourced: . "$(dirname "$0")/lib.sh"
set -u

failures=0

# fail MESSAGE…: noted, and the test goes on, so that one run shows all that is wrong.
fail() {
    printf 'FAIL: %s\n' "$*"
    failures=$((failures + 1))
}

# finish: the test's last line.
finish() {
    [ "$failures" -eq 0 ] || printf '%d failed\n' "$failures"
    exit "$((failures > 0))"
}

# run COMMAND…: its output goes to the files out and err, its exit status to $status.
run() {
    "$@" >out 2>err
    status=$?
}

# expect STATUS OUT-REGEX ERR-REGEX WHAT: checks the last run; regexes match the whole text
# (newlines as in bash's =~), an empty one means that there must be nothing.
expect() {
    local out err
    out=$(tr -d '\0' <out) err=$(tr -d '\0' <err)
    [ "$status" -eq "$1" ] || fail "$4: status $status, not $1; stderr: ${err:0:300}"
    [[ $out =~ ^$2$ ]] || fail "$4: stdout '${out:0:300}' is not '$2'"
    [[ $err =~ ^$3$ ]] || fail "$4: stderr '${err:0:300}' is not '$3'"
}

# await WHAT COMMAND…: until the command succeeds, 60 s at most. Whoever waits for what a command in
# the background writes into a file removes the file first: what was in it would be taken for it.
await() {
    local end=$((SECONDS + 60))
    until "${@:2}" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { fail "$1" && return 1; }
        sleep 0.02
    done
}

# What vmdeck may print once per boot of the host about KVM; it is said before the tests begin, so
# that their stderr is what they expect.
quiet_notice() {
    "$VMDECK" exec -- true 2>/dev/null
}

# our_hosts: the session hosts of this test (others run beside it), with the process that detaches
# one. Fails if one ended while it was looked at: its place may be taken by one behind the list.
our_hosts() {
    local pid variables ended=0
    for pid in $(pgrep -u "$UID" -f 'vmdeck session-host'); do
        variables=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ")
        [ -n "$variables" ] || ended=1
        ! grep -qF "$XDG_STATE_HOME" <<<"$variables" || echo "$pid"
    done
    return $ended
}

# end_spares: VMs that wait for a session would go on doing that for ten minutes.
end_spares() {
    # shellcheck disable=SC2046
    kill -TERM $(our_hosts) 2>/dev/null
}

# kill_hosts: until none is left, for one that was just detaching itself when they were listed
# would live on.
kill_hosts() {
    local hosts
    until hosts=$(our_hosts) && [ -z "$hosts" ]; do
        # shellcheck disable=SC2086
        kill -KILL $hosts 2>/dev/null
    done
}

# nothing_left WHAT: no session, socket or QEMU of this test's directories. What was just told to
# end is given a moment: a client that is killed cannot wait for its host.
nothing_left() {
    local i left
    for ((i = 0; i < 100; i++)); do
        left=$(find "$XDG_STATE_HOME/vmdeck/sessions" "$XDG_RUNTIME_DIR/vmdeck" -mindepth 1 2>/dev/null)
        left+=$(pgrep -f "$XDG_STATE_HOME/vmdeck/sessions")
        [ -n "$left" ] || return 0
        sleep 0.1
    done
    fail "$1: left behind: $left"
}

# server_certificate NAMES: tls.pem, for subjectAltName's NAMES, by an authority of its own, ca.pem.
server_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
        -subj '/CN=witness authority' -days 2 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.csr \
        -subj '/CN=site.test' 2>/dev/null
    openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tls.crt -days 2 \
        -extfile <(echo "subjectAltName=$1") 2>/dev/null
    cat tls.crt tls.key >tls.pem
}
