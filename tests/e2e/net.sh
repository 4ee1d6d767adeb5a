#!/usr/bin/env bash
# The mediated network, from the guest's programs to servers on the host's loopback, without any
# other network.
. "$(dirname "$0")/lib.sh"
quiet_notice
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

# A server's certificate of an authority of its own.
server_certificate DNS:site.test,DNS:other.test
mkdir www && echo hello >www/file
git init -q --bare www/repo.git
git -C www/repo.git update-server-info
: >requests
"$(dirname "$0")/net_witness.py" "$PWD" &
witness=$!
trap 'kill "$witness"' EXIT

await 'the servers' test -s http.port -a -s https.port
http=http://site.test:$(cat http.port) https=https://site.test:$(cat https.port)
net=(--resolve site.test=127.0.0.1 --resolve other.test=127.0.0.1 --upstream-ca ca.pem)
site=(--allow-internal site.test "${net[@]}")

# guest SCRIPT OPTION…: runs it in a VM.
guest() {
    local script=$1
    shift
    run timeout 150 "$VMDECK" exec "$@" -- bash -c "$script"
}

# noted REGEX: the witness saw such a request.
noted() { grep -qE "$1" requests; }

# Unmodified programs, plain and by interception, with what the image has.
guest "set -e
curl -sS $http/file; curl -sS $https/file
python3 -c 'import urllib.request as u; print(u.urlopen(\"$https/file\").read().decode(), end=\"\")'
cd /tmp; git clone -q $https/repo.git 2>/dev/null; ls -d repo
openssl s_client -connect site.test:$(cat https.port) -servername site.test -verify_return_error \
    </dev/null 2>/dev/null | grep -m1 -o 'Verify return code: .*'
unset SSL_CERT_FILE; curl -sS $https/file
update-ca-certificates >/dev/null 2>&1; curl -sS $https/file" "${site[@]}"
expect 0 $'hello\nhello\nhello\nrepo\nVerify return code: 0 .ok.\nhello\nhello' '' 'programs'
noted '"tls": true, "line": "GET /file' || fail 'the witness saw no TLS'

# What is refused says so, and why, over TLS as well.
for url in "$http" "$https"; do
    guest "curl -sS -i ${url/site/other}/file" --allow-host site.test "${net[@]}"
    expect 0 $'HTTP/1.1 403 .*[xX]-[vV]mdeck-[vV]erdict: deny.*\n.+' '' "refused: $url"
done
guest "curl -sS -o /dev/null -w '%{http_code}' $http/file" --deny-host site.test "${site[@]}"
expect 0 403 '' 'deny over allow'
guest "curl -sS $http/file; curl -sS -w '%{http_code}' -o /dev/null -X POST $http/file" \
    --allow-host 'GET site.test:*/f*' --allow-internal 127.0.0.0/8 "${net[@]}"
expect 0 $'hello\n403' '' 'method and path'
guest "curl -sS -i $http/file; curl -sS -m 5 http://127.0.0.1/ 2>&1" "${net[@]}"
[[ $(cat out) =~ ^HTTP/1.1\ 403.*127\.0\.0\.1 ]] || fail "internal address: $(cat out)"
noted other.test && fail 'a refused host was asked'

# The link: a ping of the gateway is answered, of others it is not; UDP is refused; names have
# synthetic addresses.
guest "$(cat <<'G'
python3 - <<'P'
import errno, select, socket, struct
def ping(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    message = struct.pack("!BBHHH", 8, 0, 0, 77, 1) + b"x" * 32
    words = sum(struct.unpack("!20H", message))
    words = (words & 0xffff) + (words >> 16)
    s.sendto(message[:2] + struct.pack("!H", ~words & 0xffff) + message[4:], (address, 1))
    while select.select([s], [], [], 1)[0]:
        if s.recv(200)[20:21] == b"\0":
            return True
    return False
print(ping("192.168.127.1"), ping("192.0.2.1"))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(("192.0.2.1", 443))
u.settimeout(5)
try:
    u.send(b"x")
    u.recv(1)
except OSError as e:
    print(errno.errorcode.get(e.errno, e))
a, b = socket.gethostbyname("site.test"), socket.gethostbyname("other.test")
print(a.startswith("198.18.") or a.startswith("198.19."), a != b)
P
G
)" "${site[@]}" --allow-internal other.test
expect 0 $'True False\nECONNREFUSED\nTrue True' '' 'link'

guest "ip -br link show eth0 | grep -o DOWN; curl -sS $http/file 2>/dev/null; echo \$?" --no-net
expect 0 $'DOWN\n[67]' '' 'no network'

# OpenSSL hears what is slow where it is emulated, unless the user has another opinion.
guest 'openssl version -c' --no-net --accel tcg
expect 0 'CPUINFO: .* env:~0x20000000000' '' 'OpenSSL under emulation'
guest 'echo "$OPENSSL_ia32cap"' --no-net --accel tcg --env OPENSSL_ia32cap=:
expect 0 : '' "OpenSSL as the user says"

# Secrets: the guest has a placeholder, the witness gets the value, the guest never sees it.
export E2E_TOKEN=the-real-value-of-it
secret=(--host-secret "E2E_TOKEN@$https")
guest "echo \$E2E_TOKEN; curl -sS -H \"Authorization: Bearer \$E2E_TOKEN\" $https/echo" \
    "${secret[@]}" "${site[@]}"
[[ $(cat out) =~ ^VMDECK_SECRET_[0-9a-f]+$'\n'.*Bearer\ VMDECK_SECRET_ ]] || fail "placeholder: $(cat out)"
grep -q "$E2E_TOKEN" out && fail 'the value came back'
noted "Bearer $E2E_TOKEN" || fail 'the witness got no value'
guest "curl -sS -o /dev/null -w '%{http_code}' -H 'X: $E2E_TOKEN' $http/echo" "${secret[@]}" "${site[@]}"
expect 0 '4[0-9][0-9]' '' 'the value to where it must not go'
[ "$(grep -c "$E2E_TOKEN" requests)" -eq 1 ] || fail 'the value went out twice'
# A fork has them too, from host to host.
"$VMDECK" bash --detached --name first "${secret[@]}" "${site[@]}" -- sh -c \
    "until test -e /tmp/go; do sleep 0.1; done; curl -sS -H \"Third: \$E2E_TOKEN\" $https/echo" \
    >/dev/null || fail 'bash'
from=first
for to in second third; do
    run "$VMDECK" fork "$from" --name "$to"
    expect 0 '[0-9a-f]{8}' '' 'fork'
    "$VMDECK" stop "$from" || fail 'stop'
    from=$to
done
echo | "$VMDECK" cp - third:/tmp/go || fail 'cp'
await 'the third request' noted "Third\": \"$E2E_TOKEN"
"$VMDECK" stop --all || fail 'stop'
grep -rqF "$E2E_TOKEN" "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR" && fail 'the value is on the disk'

# Questions, answered from outside; unanswered they are a no.
"$VMDECK" exec --name asker --ask=60 "${net[@]}" -- curl -sS "$http/file" >asked 2>&1 &
asker=$!
waiting() { "$VMDECK" requests asker --json | grep -q '"host":"site.test"'; }
await 'no question' waiting
"$VMDECK" list | grep -qE ' asker +waiting .* 1  curl' || fail "list: $("$VMDECK" list)"
run "$VMDECK" requests
expect 0 $'SESSION .*\n[0-9a-f]{8} .* curl .*GET +site.test:[0-9]+/file' '' 'requests'
run "$VMDECK" allow asker site.test --internal
expect 0 '' '' 'answer'
wait "$asker"
[ "$(cat asked)" = hello ] || fail "asked: $(cat asked)"
guest "curl -sS -o /dev/null -w '%{http_code}' $http/file" --ask=1 "${site[@]/site.test/none.test}" \
    --resolve site.test=127.0.0.1
expect 0 403 '' 'nobody answered'

# Rules at run time, and those that stay; what a snapshot keeps of them.
id=$("$VMDECK" bash --detached --name rules --allow-host other.test "${net[@]}") || fail 'bash'
"$VMDECK" allow rules site.test --internal || fail 'allow'
"$VMDECK" deny "$id" bad.test --always || fail 'deny'
run "$VMDECK" rules rules
expect 0 $'RULE .*other.test.*site.test.*bad.test.*' '' 'rules'
run "$VMDECK" allow 'not a pattern/..'
# shellcheck disable=SC2154 # run sets it
[ "$status" -eq 125 ] || fail "a bad pattern: $(cat out err)"
run "$VMDECK" rules
expect 0 $'RULE .*\n1 +deny +saved +bad.test' '' 'saved rules'
"$VMDECK" snapshot rules --name kept >/dev/null || fail 'snapshot'
codes="-sS -w %{http_code}_ -o /dev/null"
guest "curl -sS $http/file; for u in third bad; do curl $codes http://\$u.test/; done" \
    --resume kept
expect 0 $'hello\n403_403_' '' 'resumed'
cp "$XDG_DATA_HOME/vmdeck/snapshots/kept.qcow2" moved.qcow2
guest "for u in $http/file http://third.test/; do curl $codes \$u; done" --resume "$PWD/moved.qcow2"
expect 0 '[45][0-9][0-9]_403_' '.*not made here.*' 'a stranger'"'"'s snapshot'
"$VMDECK" rules rm 1 || fail 'rules rm'
run "$VMDECK" rules --json
expect 0 '\[\]' '' 'no saved rules'

# Every decision is an event, also on what is under way when the session ends.
"$VMDECK" exec --name holder "${site[@]}" -- curl -sS "$http/hold" >held 2>&1 &
holder=$!
await 'the request that is held' noted /hold
kill "$holder"
wait "$holder" 2>/dev/null
logged_hold() { "$VMDECK" events --json --type net | grep -q '"path":"/hold"'; }
await 'no event of what was under way' logged_hold
"$VMDECK" events --json --type net,secret >logged
python3 - <<'P' || fail "events: $(tail -n 3 logged)"
import json
events = [json.loads(line) for line in open("logged")]
net = [e for e in events if e["type"] == "net"]
for name in "curl", "python3", "git-remote-http":
    assert any(e.get("process", {}).get("name") == name and e["process"]["pid"] > 1 and
               e.get("path") for e in net), name
assert any(e["verdict"] == "allow" and e["protocol"] == "https" and e["path"] == "/file" and
           e["status"] == 200 and e["address"] == "127.0.0.1" for e in net)
assert any(e["verdict"] == "deny" and e["reason"] for e in net)
assert any(e["type"] == "secret" and e["secret"] == "E2E_TOKEN" and e["action"] == "injected"
           for e in events)
P
nothing_left 'after all'
finish
