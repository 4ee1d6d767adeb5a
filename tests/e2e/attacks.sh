#!/usr/bin/env bash
# What breaks systems like this one, by a guest as the attacker and a server on loopback as the
# witness: 1 who is being talked to, 2 connections shared between hosts, 3 binary bodies, 4 reads
# that split anywhere, 5 encodings of a secret, 6 sizes, 7 DNS as a way out, 8 failing open,
# 9 reflection, 10 addresses, 11 tunnels, 12 TLS corners.
. "$(dirname "$0")/lib.sh"
quiet_notice
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
export KEY=the-value-of-the-key KNOWN='known/value+of=it'

# certificate NAME HOST OPTION…: an authority's, as NAME.pem.
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" \
        -subj "/CN=$2" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$1.crt" \
        -extfile <(echo "subjectAltName=DNS:$2,DNS:two.${2#*.}") "${@:3}" 2>/dev/null
    cat "$1.crt" "$1.key" >"$1.pem"
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
    -subj '/CN=witness authority' -days 2 2>/dev/null
certificate site site.test -days 2
certificate wrong other.example -days 2
certificate expired site.test -days -1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self.key -out self.crt \
    -subj '/CN=site.test' -days 2 -addext subjectAltName=DNS:site.test 2>/dev/null
cat self.crt self.key >self.pem

: >seen
"$(dirname "$0")/attacks_witness.py" "$PWD" &
witness=$!
trap 'kill "$witness"' EXIT
await 'the servers' test -s ports
site=$(sed -n 's/^site=//p' ports)
mapfile -t ports < <(cut -d= -f2 ports)

net=(--allow-host '*' --deny-host evil.test --deny-host '*.evil.test' --upstream-ca ca.pem
    --allow-internal site.test --allow-internal two.test)
for name in site two evil a.evil pub; do
    net+=(--resolve "$name.test=127.0.0.1")
done
mkdir scripts && cp "$(dirname "$0")/attacks_guest.py" scripts/
run timeout 200 "$VMDECK" exec "${net[@]}" --host-secret "KEY@https://site.test:$site" \
    --host-secret "KNOWN@https://site.test:$site" --mount-hostfs "$PWD/scripts:/scripts:ro" -- \
    python3 /scripts/attacks_guest.py "${ports[@]}" "$KNOWN"
# shellcheck disable=SC2154 # run sets it
[ "$status" -eq 0 ] || fail "status $status: $(tail -n 3 err)"
grep -E 'BAD|SLOW' out
[ "$(tail -n 1 out)" = 'bad: 0' ] || fail "attacks that worked: $(tail -n 1 out)"

# What reached the witness, and what came back.
grep -F never seen && fail 'the witness was reached by what must not'
grep -F "'/leak" seen | grep -qF "$KNOWN" && fail 'a value reached another host'
[ "$(grep -cF "b'GET /basic" seen)" -eq 2 ] || fail 'Basic did not arrive'
grep -F "b'GET /basic" seen | grep -vF "$(printf 'user:%s' "$KEY" | base64 -w0)" && fail 'Basic'
grep -qF "$KEY" out err && fail 'the guest saw the value'

# 8: what cannot be used is refused before anything runs.
echo '{"allow": 7}' >bad.json
for options in '--host-secret KEY@https://a.test=@/nonexistent' '--policy bad.json' \
    '--policy /nonexistent' '--allow-host a..b/..' '--upstream-ca /nonexistent' \
    '--host-secret NOT_THERE@a.test' '--allow-internal 10.0.0.0/33x/..'; do
    # shellcheck disable=SC2086 # words
    run "$VMDECK" exec $options -- true
    [ "$status" -eq 125 ] || [ "$status" -eq 2 ] || fail "$options: status $status"
done
nothing_left 'after all'
finish
