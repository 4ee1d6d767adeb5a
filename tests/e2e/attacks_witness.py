#!/usr/bin/env python3
"""The server that e2e/attacks.sh's guest attacks: raw, so that what arrives is seen as it came.

attacks_witness.py DIRECTORY: writes the ports (name=number, a line each) to ports there, and every
request to seen, one a line in Python's notation: port's name, head, body. The name's certificate is
NAME.pem; `mutual` also asks for one. What it answers is the path's business: see ANSWERS."""
import gzip
import hashlib
import os
import re
import socket
import ssl
import sys
import threading

directory = sys.argv[1]
seen = open(os.path.join(directory, "seen"), "a", buffering=1)
go_on = threading.Event()


def plain(body, extra=b"", status=b"200 OK"):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body)


def pieces(connection, parts):
    for part in parts:
        connection.sendall(part)


def chunked(connection, texts):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    pieces(connection, (b"%x\r\n%s\r\n" % (len(text), text) for text in texts))
    connection.sendall(b"0\r\n\r\n")


def events(connection):
    """The second event comes when the first has been read."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                       b"Transfer-Encoding: chunked\r\n\r\n7\r\nfirst\n\n\r\n")
    go_on.wait(60)
    connection.sendall(b"8\r\nsecond\n\n\r\n0\r\n\r\n")


def websocket(connection, head):
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head).group(1)
    import base64
    accept = base64.b64encode(
        hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                       b"Upgrade: websocket\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while data := connection.recv(4096):
        connection.sendall(data.upper())


def secret(head):
    found = re.search(rb"(?i)authorization: (?:bearer )?(\S+)", head)
    return found.group(1) if found else b""


def every_byte(data):
    return (data[i:i + 1] for i in range(len(data)))


# False: the connection ends behind it.
ANSWERS = {
    b"/sha": lambda c, h, b: c.sendall(plain(hashlib.sha256(b).hexdigest().encode())),
    b"/blob": lambda c, h, b: c.sendall(plain(bytes(range(256)) * 256)),
    b"/in-header": lambda c, h, b: c.sendall(plain(b"", b"X-Echo: <" + secret(h) + b">\r\n")),
    b"/in-body": lambda c, h, b: c.sendall(plain(b"<" + secret(h) + b">")),
    b"/in-bytes": lambda c, h, b: pieces(c, every_byte(plain(b"<" + secret(h) + b">"))),
    b"/in-chunks": lambda c, h, b: chunked(c, every_byte(b"<" + secret(h) + b">")),
    b"/in-location": lambda c, h, b: c.sendall(
        plain(b"", b"Location: /ok?" + secret(h) + b"\r\n", b"302 Found")),
    b"/in-gzip": lambda c, h, b: c.sendall(
        plain(gzip.compress(secret(h)), b"Content-Encoding: gzip\r\n")),
    b"/events": lambda c, h, b: events(c),
    b"/go": lambda c, h, b: (go_on.set(), c.sendall(plain(b"ok"))),
    b"/101": lambda c, h, b: c.sendall(b"HTTP/1.1 101 Switching Protocols\r\n"
                                       b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nowned"),
    b"/early": lambda c, h, b: c.sendall(plain(b"too large", b"", b"413 Too Large")) or False,
    b"/smuggle": lambda c, h, b: c.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    b"/chat": lambda c, h, b: websocket(c, h) or False,
}


class Reader:
    def __init__(self, connection):
        self.connection, self.data = connection, b""

    def until(self, end):
        while end not in self.data:
            got = self.connection.recv(65536)
            if not got:
                raise EOFError
            self.data += got
        part, _, self.data = self.data.partition(end)
        return part + end

    def exactly(self, size):
        while len(self.data) < size:
            got = self.connection.recv(65536)
            if not got:
                raise EOFError
            self.data += got
        part, self.data = self.data[:size], self.data[size:]
        return part

    def body(self, head):
        if re.search(rb"(?i)\r\ntransfer-encoding: chunked", head):
            parts = []
            while size := int(self.until(b"\r\n").split(b";")[0], 16):
                parts.append(self.exactly(size))
                self.exactly(2)
            while self.until(b"\r\n") != b"\r\n":
                pass
            return b"".join(parts)
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        return self.exactly(int(length.group(1))) if length else b""


def serve(name, connection, context):
    try:
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        reader = Reader(connection)
        while True:
            head = reader.until(b"\r\n\r\n")
            path = head.split()[1].partition(b"?")[0]
            body = b"" if path == b"/early" else reader.body(head)
            seen.write(repr((name, head, body)) + "\n")
            answer = ANSWERS.get(path, lambda c, h, b: c.sendall(plain(b"ok")))
            if answer(connection, head, body) is False:
                return
    except (EOFError, OSError, ValueError, AttributeError, IndexError) as error:
        if not isinstance(error, EOFError):
            seen.write(repr((name, b"error", repr(error).encode())) + "\n")
    finally:
        connection.close()


def listen(name):
    context = None
    if name != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(directory, ("site" if name == "mutual" else name) + ".pem"))
        if name == "mutual":
            context.load_verify_locations(os.path.join(directory, "ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED
    server = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept():
        while True:
            connection = server.accept()[0]
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(name, connection, context), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


ports = {name: listen(name) for name in ("plain", "site", "expired", "wrong", "self", "mutual")}
with open(os.path.join(directory, "ports.new"), "w") as file:
    file.writelines("%s=%d\n" % pair for pair in ports.items())
os.rename(file.name, os.path.join(directory, "ports"))
threading.Event().wait()
