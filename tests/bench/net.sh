#!/usr/bin/env bash
# Benchmarks of the mediated network from inside a guest, by hand:
#     tests/bench/net.sh [BUILD-DIRECTORY] [MEGABYTES]
#
# In one run: bulk TCP in both directions by --tcp-map against QEMU's own user network (libslirp)
# for the same guest; HTTP and HTTPS of one large file and of 200 small requests by one curl, with
# the host's CPU and the speed of the guest's own ciphers; the time until a request is refused.
# The mediation alone, without a VM: net_bench and flow_bench.
set -eu
root=$(dirname "$(readlink -f "$0")")/../..
build=$(readlink -f "${1:-$root/build/default}")
export VMDECK=$build/vmdeck SIZE=${2:-64}
VMDECK_IMAGE=${VMDECK_IMAGE:-$(cat "$build/test-image/path")}
export VMDECK_IMAGE
work=$(mktemp -d)
mkdir -m 700 "$work/run"
export HOME=$work XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state XDG_DATA_HOME=$work/data \
    XDG_CACHE_HOME=$work/cache XDG_CONFIG_HOME=$work/config
servers=
trap '"$VMDECK" stop --all >/dev/null 2>&1 || true; kill $servers 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.crt \
    -subj '/CN=site.test' -addext 'subjectAltName=DNS:site.test' -days 2 2>/dev/null
cat tls.crt tls.key >tls.pem
head -c "${SIZE}M" /dev/zero >big
echo small >small

# source and sink: plain TCP, the first byte of the client says which; http and https: files.
python3 - <<'P' &
import http.server, os, socket, socketserver, ssl, threading

class Bulk(socketserver.BaseRequestHandler):
    def handle(self):
        order = self.request.recv(1)
        block = bytearray(1 << 20)
        if order == b"r":
            for _ in range(int(os.environ["SIZE"])):
                self.request.sendall(block)
        else:
            while self.request.recv_into(block):
                pass
            self.request.sendall(b"!")

class Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536 # head and body in one
    disable_nagle_algorithm = True
    def translate_path(self, path):
        return "big" if path == "/big" else "small"
    def log_message(self, *args):
        pass

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

bulk, plain, tls = (Server(("127.0.0.1", 0), h) for h in (Bulk, Files, Files))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("tls.pem")
tls.socket = context.wrap_socket(tls.socket, server_side=True)
for server in (bulk, plain, tls):
    threading.Thread(target=server.serve_forever, daemon=True).start()
with open("ports.new", "w") as file:
    print(*(s.server_address[1] for s in (bulk, plain, tls)), file=file)
os.rename("ports.new", "ports")
threading.Event().wait()
P
servers=$!
while [ ! -s ports ]; do sleep 0.05; done
read -r bulk http https <ports

cat >bulk.py <<'P'
import os, socket, sys, time
size = int(os.environ["SIZE"]) << 20
rates = []
for order in (b"r", b"w"):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    block = bytearray(1 << 20)
    begin = time.monotonic()
    s.sendall(order)
    if order == b"r":
        got = 0
        while got < size:
            got += s.recv_into(block)
    else:
        for _ in range(size >> 20):
            s.sendall(block)
        s.shutdown(socket.SHUT_WR)
        s.recv(1)
    rates.append("%.1f" % (size / (1 << 20) / (time.monotonic() - begin)))
print(*rates)
P
bulk() { # OPTION… -- HOST PORT: MiB/s in, out
    local options=()
    while [ "$1" != -- ]; do options+=("$1") && shift; done
    shift
    "$VMDECK" exec "${options[@]}" --env SIZE="$SIZE" -- python3 - "$@" <bulk.py 2>/dev/null
}

# The same guest on libslirp: QEMU is started by a script that has another idea of -netdev.
mkdir slirp
cat >slirp/qemu-system-x86_64 <<W
#!/bin/bash
args=()
for arg; do
    case \$arg in
    stream,id=net,*) arg=user,id=net,net=192.168.127.0/24,host=192.168.127.1,dns=192.168.127.2 ;;
    esac
    args+=("\$arg")
done
exec $(command -v qemu-system-x86_64) "\${args[@]}"
W
chmod +x slirp/qemu-system-x86_64

row() { printf '%-44s %9s %-6s %s\n' "$@"; }
of() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

"$VMDECK" exec -- true 2>/dev/null
row figure "" "" "ratio (aim)"
read -r slirp_in slirp_out < <(PATH=$PWD/slirp:$PATH bulk --cold -- 192.168.127.1 "$bulk")
read -r in out < <(bulk --tcp-map "sink.test:99=127.0.0.1:$bulk" -- sink.test 99)
row "bulk TCP into the guest" "$in" MiB/s "$(of "$in" "$slirp_in") of libslirp's $slirp_in (at least 1)"
row "bulk TCP out of the guest" "$out" MiB/s "$(of "$out" "$slirp_out") of libslirp's $slirp_out (at least 1)"

cat >fetch.sh <<'G'
http=$1 https=$2
one() { curl -sS -o /dev/null -w '%{speed_download}\n' "$1/big"; }
many() {
    begin=$(date +%s%N)
    curl -sS "$1/[1-200]" >/dev/null
    echo $((200000000000 / ($(date +%s%N) - begin)))
}
curl -sS -o /dev/null "$https/small"; curl -sS -o /dev/null "$http/small"
one "http://$http"; echo cpu; one "https://$https"; echo cpu
many "http://$http"; many "https://$https"
openssl speed -mr -seconds 1 -bytes 16384 -evp aes-128-gcm 2>/dev/null | sed -n 's/^+F:.*://p'
openssl speed -mr -seconds 1 -bytes 16384 -evp chacha20-poly1305 2>/dev/null | sed -n 's/^+F:.*://p'
python3 - <<'P'
import socket, time
times = []
for i in range(20):
    s = socket.create_connection(("refused.test", 80))
    begin = time.monotonic()
    s.sendall(b"GET / HTTP/1.1\r\nHost: refused.test\r\n\r\n")
    assert b"403" in s.recv(4096)
    times.append(time.monotonic() - begin)
print("%.1f" % (sorted(times)[10] * 1e3))
P
curl -sSk -o /dev/null -w '%{speed_download}\n' https://raw.test:99/big
G
host_cpu() { # in ticks
    local pid
    for pid in $(pgrep -f 'vmdeck session-host'); do
        ! grep -qzF "$XDG_STATE_HOME" "/proc/$pid/environ" 2>/dev/null ||
            awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat"
    done | sort -n | tail -1
}
: >lines
"$VMDECK" exec --allow-host site.test --allow-internal site.test --resolve site.test=127.0.0.1 \
    --tcp-map "raw.test:99=127.0.0.1:$https" --upstream-ca tls.crt -- bash -s "site.test:$http" "site.test:$https" <fetch.sh |
    while read -r line; do
        [ "$line" != cpu ] || line=$(host_cpu)
        echo "$line" >>lines
    done
mapfile -t v <lines
mib() { awk -v b="$1" 'BEGIN { printf "%.1f", b / 1048576 }'; }
row "HTTP GET of $SIZE MiB" "$(mib "${v[0]}")" MiB/s "$(of "$(mib "${v[0]}")" 40) (at least 1: 40)"
row "HTTPS GET of $SIZE MiB" "$(mib "${v[2]}")" MiB/s \
    "$(of "$(mib "${v[2]}")" 25) (at least 1: 25); $(of "${v[2]}" "${v[0]}") of HTTP (at least 0.6)"
row "the same past the interception, by --tcp-map" "$(mib "${v[9]}")" MiB/s \
    "$(of "${v[2]}" "${v[9]}") of that is left with it: the guest's own TLS is the limit"
row "the guest's own AES-128-GCM, ChaCha20" "$(mib "${v[6]}")" MiB/s "$(mib "${v[7]}")"
row "host CPU for an intercepted GB" "$(awk -v t=$((v[3] - v[1])) -v m="$SIZE" \
    'BEGIN { printf "%.2f", t / 100 * 1024 / m }')" s ""
row "200 small GETs, plain" "${v[4]}" /s "$(of "${v[4]}" 400) (at least 1: 400)"
row "200 small GETs, TLS" "${v[5]}" /s "$(of "${v[5]}" 200) (at least 1: 200)"
row "a request is refused after" "${v[8]}" ms "$(of "${v[8]}" 20) (at most 1: 20)"
