"""What e2e/hostile_link.sh runs in the guest, as root: forged frames, floods, ten thousand connections,
and whoever never reads or lies. Between all that a connection that was there before is used, and a
new one, which must go on working.

hostile_guest.py OPEN FORBIDDEN ROUNDS: ports of the witness's; site.test may be asked on the first one,
nobody on the second. Says what it does, a line each; after "look" it goes on when a line comes."""
import errno
import faulthandler
import os
import random
import resource
import select
import socket
import ssl
import struct
import subprocess
import sys
import time

OPEN, FORBIDDEN, ROUNDS = map(int, sys.argv[1:4])
GUEST, GATEWAY, NOWHERE = "192.168.127.3", "192.168.127.1", "203.0.113."
SECONDS = 60
CONNECTIONS = 10100  # 100 more than there may be
SYNS = 3000
RANDOM_FRAMES = 1500


def look(what):
    print("look", what, flush=True)
    sys.stdin.readline()


def fetch(connection, host="site.test"):
    """One request on a connection that lives on: status and body."""
    connection.sendall(b"GET /small HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (host.encode(), OPEN))
    got = b""
    while b"\r\n\r\n" not in got:
        data = connection.recv(4096)
        if not data:
            return 0, got
        got += data
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split()[0])
    while len(body) < length:
        body += connection.recv(4096)
    return int(head.split()[1]), body


def dial():
    return socket.create_connection(("site.test", OPEN), SECONDS)


def steady():
    assert fetch(kept) == (200, b"small"), "the connection from before has suffered"


def fresh():
    with dial() as connection:
        assert fetch(connection) == (200, b"small"), "a new connection does not work"


# ---- frames ----

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip(payload, protocol=6, source=GUEST, target="127.0.0.1", flags=0, options=b"", **lies):
    def header(total):
        return struct.pack("!BBHHHBBH4s4s", lies.get("first", 0x45 + len(options) // 4), 0,
                           lies.get("length", 20 + len(options) + len(payload)), 7, flags, 64,
                           protocol, total, socket.inet_aton(source),
                           socket.inet_aton(target)) + options
    return header(lies.get("sum", checksum(header(0)))) + payload


def tcp(source=GUEST, target="127.0.0.1", flags=2, ports=None, options=b"", data=b"", **lies):
    ports = ports or (random.randrange(1024, 65536), FORBIDDEN)

    def header(total):
        return struct.pack("!HHIIBBHHH", *ports, random.randrange(1 << 32), 0,
                           lies.get("offset", 5 + len(options) // 4) << 4, flags, 65535, total,
                           0) + options + data
    pseudo = struct.pack("!4s4sHH", socket.inet_aton(source), socket.inet_aton(target), 6,
                         len(header(0)))
    return header(lies.get("sum", checksum(pseudo + header(0))))


def udp(port, data=b"x", length=None):
    return struct.pack("!HHHH", 4000, port, length or 8 + len(data), 0) + data


def send(packet, source=None, target=None, kind=0x0800):
    frame = (target or gateway_mac) + (source or guest_mac) + struct.pack("!H", kind) + packet
    try:
        link.send(frame)
    except OSError as error:  # the guest's own kernel does not want it
        if error.errno not in (errno.EMSGSIZE, errno.EINVAL, errno.ENOBUFS, errno.ENXIO):
            raise


def syn(**more):
    ends = {name: more[name] for name in ("source", "target") if name in more}
    return ip(tcp(**ends), **more)


def forge():
    """Each alone could reach the witness's forbidden port if somebody believed it."""
    other = b"\x52\x54\x00\xba\xd0\x01"
    send(syn(), source=other)
    send(syn(), source=gateway_mac)
    send(syn(), source=b"\xff" * 6)
    send(syn(), target=other)
    send(syn(), target=b"\xff" * 6)
    for source in ("192.168.127.99", GATEWAY, "10.0.0.1", "127.0.0.1", "0.0.0.0", "224.0.0.1"):
        send(syn(source=source))
    # Those would be taken, but lead to no address that is allowed.
    for target in ("127.0.0.1", "0.0.0.0", "169.254.169.254", GATEWAY, GUEST, "192.168.127.255",
                   "255.255.255.255", "224.0.0.1", "240.0.0.1", "10.0.0.1"):
        send(syn(target=target))
    for lie in ({"sum": 1}, {"first": 0x44}, {"first": 0x4f}, {"first": 0x65}, {"length": 19},
                {"length": 60000}, {"length": 30}):
        send(ip(tcp(), **lie))
    for lie in ({"sum": 1}, {"offset": 4}, {"offset": 15}, {"options": b"\x02\x00\x00\x00"},
                {"options": b"\x05\xff\x01\x01"}):
        send(ip(tcp(**lie)))
    for flags in (0, 1, 3, 4, 6, 0x29, 0x3f, 0xff):
        send(ip(tcp(flags=flags, data=b"GET / HTTP/1.0\r\n\r\n")))
    # Options: loose and strict source route, record route, timestamp, and nonsense.
    for option in (b"\x83\x07\x04\x7f\0\0\1\0", b"\x89\x07\x04\x7f\0\0\1\0", b"\x07\x07\x04" + b"\0" * 5,
                   b"\x44\x08\x05" + b"\0" * 5, b"\x83\xff\x04\0"):
        send(ip(tcp(), options=option))
    # Fragments: whole in two, overlapping, without a first one, beyond 64 KiB, hundreds of them.
    whole = tcp(data=b"x" * 100)
    send(ip(whole[:24], flags=0x2000))
    send(ip(whole[24:], flags=3))
    send(ip(whole[8:], flags=1))
    send(ip(whole, flags=0x3fff))
    send(ip(udp(53)[:8], protocol=17, target=GATEWAY, flags=0x2000))
    for i in range(300):
        send(ip(whole[:64], flags=0x2000 | i * 8))
    # Land: to itself, in every way.
    for end in (GUEST, GATEWAY, "127.0.0.1"):
        send(ip(tcp(source=end, target=end, ports=(OPEN, OPEN)), source=end, target=end))
    # Other protocols, and names for everybody.
    for protocol in (1, 2, 4, 41, 47, 50, 89, 132, 255):
        send(ip(b"\x08\0\0\0" + whole, protocol=protocol))
    for port in (53, 67, 68, 69, 443, FORBIDDEN):
        send(ip(udp(port), protocol=17))
        send(ip(udp(port, length=9999), protocol=17, target=GATEWAY))
        send(ip(udp(port), protocol=17, source="192.168.127.99"))
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    for owner in (GATEWAY, "192.168.127.99", GUEST):
        send(arp + other + socket.inet_aton(owner) + gateway_mac + socket.inet_aton(GATEWAY),
             kind=0x0806)
    for kind in (0x86dd, 0x8100, 0x88a8, 0x8864, 0, 0xffff):
        send(syn(), kind=kind)
    for size in (0, 1, 13, 19, 20, 39, 1501, 9000, 65000):
        send(b"\x45" * size)


def noise():
    """Frames that are nearly right: some bytes of a good one are others."""
    for i in range(RANDOM_FRAMES):
        packet = bytearray(random.choice((
            syn(), syn(target=GATEWAY), ip(udp(53, b"\0" * 12), protocol=17, target=GATEWAY),
            ip(udp(67, b"\1\1\6\0" + b"\0" * 240), protocol=17, target="255.255.255.255"),
            ip(b"\x08\0\0\0" + b"x" * 40, protocol=1, target=GATEWAY))))
        for _ in range(random.randrange(1, 5)):
            packet[random.randrange(len(packet))] = random.randrange(256)
        send(bytes(packet[:random.choice((len(packet), random.randrange(len(packet) + 1)))]))
        if i % 500 == 0:
            steady()


def flood():
    """Nobody answers the SYN-ACKs: the kernel drops what comes from where no way leads."""
    for i in range(SYNS):
        target = NOWHERE + str(i % 250 + 1)
        send(ip(tcp(target=target, ports=(1024 + i * 17 % 64000, 80)), target=target))
        if i % 500 == 0:
            steady()


# ---- connections ----

def crowd():
    """Every one is answered: opened, or refused. Each then says a byte of a request."""
    waiting, opened = {}, []
    poll = select.epoll()
    refused = 0

    def reap():
        nonlocal refused
        for number, _ in poll.poll(SECONDS):
            connection = waiting.pop(number)
            poll.unregister(number)
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                opened.append(connection)
            else:
                refused += 1
                connection.close()
    for i in range(CONNECTIONS):
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.connect_ex(("198.51.100.%d" % (i % 250 + 1), 80))
        waiting[connection.fileno()] = connection
        poll.register(connection, select.EPOLLOUT)
        if len(waiting) >= 200:
            reap()
        if i % 2000 == 0:
            steady()
    while waiting:
        reap()
    assert len(opened) > 5000, (refused, len(opened))
    for byte in (b"G", b"E"):
        for connection in opened:
            try:
                connection.send(byte)
            except OSError:  # it was held for too long
                pass
        steady()
    look("crowd")
    for connection in opened:
        connection.close()


def never_reads():
    """The responses are longer than all that anybody keeps."""
    deaf = [dial() for _ in range(60)]
    for connection in deaf:
        connection.sendall(b"GET /big HTTP/1.1\r\nHost: site.test:%d\r\n\r\n" % OPEN)
    for connection in deaf:
        assert connection.recv(1) == b"H"
        steady()
    look("deaf")
    return deaf


def lies():
    """The name in the request or in TLS is another one than may be asked."""
    address = (socket.gethostbyname("site.test"), OPEN)
    for host in ("evil.test", "127.0.0.1", "localhost", "[::1]", "site.test.evil.test"):
        with socket.create_connection(address, SECONDS) as connection:
            status = fetch(connection, host)[0]
            assert status in (0, 400, 403, 421, 502), (host, status)
    context = ssl._create_unverified_context()
    for name, host in (("evil.test", "site.test"), ("site.test", "evil.test"), ("127.0.0.1", "site.test")):
        try:
            with socket.create_connection((address[0], FORBIDDEN), SECONDS) as raw:
                with context.wrap_socket(raw, server_hostname=name) as connection:
                    assert fetch(connection, host)[0] in (0, 400, 403, 421, 502), (name, host)
        except (ssl.SSLError, OSError):  # refused during the handshake
            pass


faulthandler.dump_traceback_later(150 * ROUNDS, exit=True)
os.nice(-20)  # the agent looks whose each connection is, in lists that get long
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
for setting in ("all", "eth0"):
    with open("/proc/sys/net/ipv4/conf/%s/rp_filter" % setting, "w") as file:
        file.write("1")
subprocess.run(["ip", "route", "add", "blackhole", NOWHERE + "0/24"], check=True)
kept = dial()
steady()
with open("/proc/net/arp") as file:
    gateway_mac = next(bytes.fromhex(line.split()[3].replace(":", "")) for line in file
                       if line.startswith(GATEWAY + " "))
with open("/sys/class/net/eth0/address") as file:
    guest_mac = bytes.fromhex(file.read().strip().replace(":", ""))
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0))
look("idle")
for number in range(ROUNDS):
    random.seed(number)
    for attack in (forge, noise, lies, never_reads, flood, crowd):
        began = time.monotonic()
        more = attack()
        steady()
        if attack is not flood:  # its half-open connections may leave no room for more
            fresh()
        print(attack.__name__, "%.1f" % (time.monotonic() - began), flush=True)
        for connection in more or ():
            connection.close()
print("done")
