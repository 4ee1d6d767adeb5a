#!/usr/bin/env bash
# A session that is suspended and started again: a connection that only waits is reset instead of
# hanging, new ones work, and rules made at run time are still there.
. "$(dirname "$0")/lib.sh"
quiet_notice
unset http_proxy HTTP_PROXY

mkdir www && echo hello >www/file
python3 -u -m http.server 0 --bind 127.0.0.1 --directory www >server 2>&1 &
server=$!
trap 'kill "$server"' EXIT
await 'the server' grep -q 'port [0-9]' server
port=$(grep -o 'port [0-9]*' server | head -n 1 | cut -d' ' -f2)
said() { "$VMDECK" cp it:/tmp/said - 2>/dev/null | grep -q "$1"; }

"$VMDECK" bash --detached --name it --allow-internal site.test --resolve site.test=127.0.0.1 -- \
    python3 -c "
import socket, time, urllib.request
said = open('/tmp/said', 'w', buffering=1)
waits = socket.create_connection(('site.test', $port))
waits.send(b'GET /file HTTP/1.1\r\n')
said.write('open\n')
try:
    said.write('got %r\n' % waits.recv(10))
except OSError as error:
    said.write('reset\n')
said.write(urllib.request.urlopen('http://site.test:$port/file').read().decode())
time.sleep(1000)" >/dev/null || fail bash
await 'no connection' said open
"$VMDECK" deny it bad.test || fail deny
"$VMDECK" suspend it || fail suspend
"$VMDECK" start it || fail start
await 'no new connection' said hello
said reset || fail "the connection: $("$VMDECK" cp it:/tmp/said -)"
"$VMDECK" rules it | grep -q 'deny .*session .*bad.test' || fail "rules: $("$VMDECK" rules it)"
"$VMDECK" stop it || fail stop
nothing_left 'after all'
finish
