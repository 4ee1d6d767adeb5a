#!/usr/bin/env bash
# The network in the dashboard, by keys alone: a session asks for hosts, is seen to wait, is
# answered and goes on; what was answered is taken back; a secret is seen to be used.
. "$(dirname "$0")/lib.sh"
quiet_notice
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy TMUX TMUX_PANE

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out ca.pem \
    -subj '/CN=site.test' -addext 'subjectAltName=DNS:site.test,DNS:api.site.test' -days 2 2>/dev/null
cat ca.pem tls.key >tls.pem
mkdir www && echo hello >www/file
: >requests
"$(dirname "$0")/net_witness.py" "$PWD" &
witness=$!
stop_all() { "$VMDECK" stop --all >/dev/null 2>&1; }
echo 'set -g exit-empty off' >"$HOME/tmux.conf" # a server that goes takes no new session
t() { tmux -u -f "$HOME/tmux.conf" -S "$HOME/tmux" "$@"; }
trap 'stop_all; kill "$witness"; t kill-server 2>/dev/null' EXIT
trap 'exit 143' TERM INT HUP
until_true() { # WHAT COMMAND…
    await "$@" && return
    t capture-pane -p -t a: 2>/dev/null
    end_spares
    finish # what follows builds on it
}
until_true 'the servers' test -s http.port -a -s https.port

# play LINE…: the dashboard, driven by these lines until they are through.
play() {
    printf '%s\n' 'timeout 60' 'wait Fleet' "$@" 'key C-c' >keys
    rm -f played
    t new-session -d -s a -x 120 -y 34 \
        'TERM=screen-256color "$VMDECK" --script keys 2>played.err; echo $? >played'
    until_true "the script: $*" test -s played
    [ "$(cat played)" = 0 ] || fail "$(cat played.err)"
}

export E2E_TOKEN=the-real-value-of-it
cat >guest <<G
curl -sS -m 100 -o one http://site.test:$(cat http.port)/file &
curl -sS -m 100 -o two -w '%{http_code}' http://other.test:$(cat http.port)/file >code &
wait
echo "one: \$(cat one) two: \$(cat code)"
curl -sS -H "X: \$E2E_TOKEN" https://api.site.test:$(cat https.port)/echo >/dev/null && echo used
exec sleep 1000
G
"$VMDECK" bash --detached --name asker --ask=100 --allow-host api.site.test \
    --allow-internal 127.0.0.0/8 --upstream-ca ca.pem --resolve site.test=127.0.0.1 \
    --resolve other.test=127.0.0.1 --resolve api.site.test=127.0.0.1 \
    --host-secret "E2E_TOKEN@https://api.site.test:$(cat https.port)" \
    -- bash -c "$(cat guest)" >/dev/null || fail 'bash'
both_wait() { [ "$("$VMDECK" requests asker --json 2>err | grep -o '"host"' | wc -l)" -eq 2 ]; }
until_true "two requests wait" both_wait

play 'wait 1 waiting' 'wait \? asker .*2 requests' 'wait \? .*GET .*site.test:[0-9]+/file' \
    'key w a' 'wait Review · 2 waiting' 'wait ^ \? other.test' "save $PWD/asked" \
    'key /' 'type other.test' 'key Enter' 'wait /other.test' 'gone \? site.test' \
    'key d' 'wait vmdeck deny asker other.test --once' 'wait Review · 1 waiting · 0 refused' \
    'key Esc' 'gone /other.test' 'wait ▸ site.test' \
    'key Enter' 'wait guest_port|flow' 'key Esc' 'gone guest_port|flow' \
    'key s' 'wait vmdeck allow asker site.test --session' 'wait Review · 0 waiting' \
    'key Esc' 'wait one: hello two: 403' 'wait used' \
    'key N' 'wait A .*site.test:[0-9]+/file' 'wait D .*other.test.*denied when asked' \
    'wait \$ E2E_TOKEN injected for api.site.test' \
    'key Esc R' 'wait Review · 0 waiting · 0 refused' 'wait Secrets' "save $PWD/answered" \
    'key u' 'wait taken back: vmdeck rules asker rm [0-9]+' \
    'key u' 'wait other.test made no rule' 'key u' 'wait no answer to take back'
run "$VMDECK" rules asker
[[ $(cat out) =~ other.test|[[:space:]]site.test ]] && fail "rules are left: $(cat out)"
grep -q "$E2E_TOKEN" asked answered && fail 'the value of a secret is shown'

# For good, for all of a domain, in every session, and back.
"$VMDECK" exec --name second --ask=100 -- curl -sS -m 100 -o /dev/null http://a.b.test/ >/dev/null 2>&1 &
second=$!
one_waits() { "$VMDECK" requests second --json 2>/dev/null | grep -q a.b.test; }
until_true 'a third request' one_waits
play 'key R' 'wait Review · 1 waiting' 'wait ▸ a.b.test' 'key h' 'wait ▸ \*.b.test' 'key e' \
    'wait ▸ every session' 'key X' "wait vmdeck deny --all '\*.b.test' --always" \
    'wait Review · 0 waiting'
wait "$second"
run "$VMDECK" rules
expect 0 $'RULE .*\n[0-9]+ +deny +saved +\\*\\.b\\.test' '' 'the saved rule'
"$VMDECK" stop asker || fail 'stop'
until_true 'the end' "$VMDECK" stop --all
end_spares
nothing_left 'the review'
finish
