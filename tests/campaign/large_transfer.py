#!/usr/bin/env python3
"""Both ends of tests/campaign/large_transfer.sh, which says what for.

large_transfer.py serve MIB: prints its ports (TCP, HTTP, HTTPS) and serves until stdin ends.
large_transfer.py guest MIB TCP HTTP HTTPS: HOST:PORT each; one line per transfer, status 1 if one
was wrong.

Every MiB of what is sent has its number, so that each end sees at once what is lost, doubled or in
the wrong place."""
import http.client
import http.server
import random
import socket
import socketserver
import ssl
import sys
import threading
import time

MIB = 1 << 20
count = int(sys.argv[2])
pattern = random.Random(1).randbytes(MIB)


def blocks():
    """Each of them, always in the same memory: new pages are dear in an emulated guest."""
    block = bytearray(pattern)
    for number in range(count):
        block[:8] = number.to_bytes(8, "big")
        yield block


def send(write):
    for block in blocks():
        write(block)


def check(readinto):
    """Reads all of it; what is wrong, or "ok"."""
    buffer = bytearray(MIB)
    view = memoryview(buffer)
    for number, block in enumerate(blocks()):
        filled = 0
        while filled < MIB:
            got = readinto(view[filled:])
            if not got:
                return f"ends after {number * MIB + filled} bytes"
            filled += got
        if buffer != block:
            return f"differs in MiB {number}"
    return "ok"


class Bulk(socketserver.BaseRequestHandler):
    def handle(self):
        if self.request.recv(1) == b"r":
            send(self.request.sendall)
        else:
            self.request.sendall(check(self.request.recv_into).encode())


class Files(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(count * MIB))
        self.end_headers()
        send(self.wfile.write)

    def do_PUT(self):
        text = check(self.rfile.readinto).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


def serve():
    servers = [Server(("127.0.0.1", 0), handler) for handler in (Bulk, Files, Files)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("tls.pem")
    servers[2].socket = context.wrap_socket(servers[2].socket, server_side=True)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(*(server.server_address[1] for server in servers), flush=True)
    sys.stdin.read()


def tcp(order, address):
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(order)
        if order == b"r":
            return check(connection.recv_into)
        send(connection.sendall)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(100).decode()


def web(method, connection):
    if method == "GET":
        connection.request("GET", "/")
        return check(connection.getresponse().readinto)
    connection.putrequest("PUT", "/")
    connection.putheader("Content-Length", str(count * MIB))
    connection.endheaders()
    send(connection.send)
    return connection.getresponse().read().decode()


def guest():
    plain, tls = (lambda: http.client.HTTPConnection(sys.argv[4])), (
        lambda: http.client.HTTPSConnection(sys.argv[5]))
    transfers = (
        ("TCP, in", lambda: tcp(b"r", sys.argv[3])),
        ("TCP, out", lambda: tcp(b"w", sys.argv[3])),
        ("HTTP, in", lambda: web("GET", plain())),
        ("HTTP, out", lambda: web("PUT", plain())),
        ("HTTPS, in", lambda: web("GET", tls())),
        ("HTTPS, out", lambda: web("PUT", tls())),
    )
    status = 0
    for name, transfer in transfers:
        begin = time.monotonic()
        result = transfer()
        rate = count / (time.monotonic() - begin)
        print(f"{name:12} {count} MiB in one: {result}, {rate:.1f} MiB/s", flush=True)
        status |= result != "ok"
    sys.exit(status)


guest() if sys.argv[1] == "guest" else serve()
