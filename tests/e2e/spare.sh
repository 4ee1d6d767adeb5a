#!/usr/bin/env bash
# Spares: VMs that wait for the next session of their kind, are claimed once, and are no session
# until then.
. "$(dirname "$0")/lib.sh"
quiet_notice

mkdir -p "$XDG_CONFIG_HOME/vmdeck"
echo 'spares 1' >"$XDG_CONFIG_HOME/vmdeck/config"
spares() { find "$XDG_RUNTIME_DIR/vmdeck" -name 'spare-*.sock' | sort; }
have_some() { [ -n "$(spares)" ]; }
have() { [ "$(spares | wc -l)" -eq "$1" ]; }
id_of() { local name=${1##*-} && echo "${name%.sock}"; }

# The first session leaves a spare behind; it is not in the list.
run "$VMDECK" exec -- true
expect 0 '' '' 'the first'
await 'no spare came' have 1
[ "$("$VMDECK" list -q | wc -l)" -eq 0 ] || fail "listed: $("$VMDECK" list)"

# The next one is that spare, with all that makes it its own; then there is another spare.
spare=$(id_of "$(spares)")
shape=$(basename "$(spares)") && shape=${shape#spare-} && shape=${shape%%-*}
one=$("$VMDECK" exec --env A=b -- sh -c 'cat /etc/machine-id; hostname; echo $A; head -c 8 /dev/urandom | od -An -tx1
    date +%s')
"$VMDECK" list --all -q | grep -q "$spare" || fail "the session was not the spare $spare: $("$VMDECK" list --all)"
[ "$(sed -n 2p <<<"$one")" = "vmdeck-${spare:0:4}" ] && [ "$(sed -n 3p <<<"$one")" = b ] || fail "told: $one"
now=$(date +%s) then=$(sed -n 5p <<<"$one")
[ $((now - then)) -le 5 ] || fail "its clock: $then, now $now"
await 'no second spare' have 1
two=$("$VMDECK" exec -- sh -c 'cat /etc/machine-id; hostname; echo; head -c 8 /dev/urandom | od -An -tx1')
for line in 1 2 4; do
    [ "$(sed -n ${line}p <<<"$one")" != "$(sed -n ${line}p <<<"$two")" ] || fail "the same in both: $two"
done
await 'no third spare' have 1

# Another shape does not take it; two at once get one and none.
before=$(spares)
"$VMDECK" exec --memory 256M -- true || fail 'another shape'
[ "$(spares | grep -c "$(id_of "$before")")" -eq 1 ] || fail 'a session of another shape took it'
"$VMDECK" exec -- true &
"$VMDECK" exec -- true || fail 'two at once'
wait $! || fail 'two at once: the other'

# Who asks a spare whose session is just ending, because another was faster, hears of that end; it is
# none of its own.
kill_hosts # those that end by themselves leave a spare behind
rm -f "$XDG_RUNTIME_DIR"/vmdeck/spare-*.sock
python3 - "$XDG_RUNTIME_DIR/vmdeck/spare-$shape-00000000.sock" <<'P' &
import json, os, socket, struct, sys
server = socket.socket(socket.AF_UNIX)
server.bind("faster")
server.listen()
server.settimeout(60)
os.rename("faster", sys.argv[1]) # seen when it listens
client = server.accept()[0]
client.settimeout(60)
data = b""
def take():
    global data
    while len(data) < 12 or len(data) < 12 + struct.unpack_from("<I", data)[0]:
        data += client.recv(65536)
    size = struct.unpack_from("<I", data)[0]
    message, data = json.loads(data[12:12 + size]), data[12 + size:]
    return message
def send(message):
    text = json.dumps(message).encode()
    client.sendall(struct.pack("<IBBHI", len(text), 1, 0, 0, 0) + text)
send({"reply": take()["id"]})
claim = take()
send({"event": "ended", "code": 0, "message": ""})
send({"reply": claim["id"], "error": {"code": 116, "message": "this session is no spare any more"}})
while client.recv(1):
    pass
os.unlink(sys.argv[1])
P
faster=$!
await 'the faster one does not listen' have_some
run "$VMDECK" exec -- echo on
expect 0 'on' '' 'a spare that another has taken, and whose session ends'
wait "$faster" || fail 'nobody asked the spare that was taken'

# A name that is taken is refused by the spare as by any other start.
"$VMDECK" bash --detached --name taken >/dev/null || fail 'bash --detached'
await 'no spare again' have_some
run "$VMDECK" exec --name taken -- true
expect 125 '' '.*a live session has it.*' 'a name twice'

# A spare whose host was killed is nobody's trouble.
rm -f "$XDG_CONFIG_HOME/vmdeck/config"
pkill -KILL -f "qemu-system.*$XDG_STATE_HOME"
"$VMDECK" exec -- true || fail 'after all QEMUs were killed'
"$VMDECK" stop --all >/dev/null 2>&1
end_spares
await 'a spare is left' have 0
nothing_left spares
finish
