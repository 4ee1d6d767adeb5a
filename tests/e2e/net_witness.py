#!/usr/bin/env python3
"""The server that the guests of e2e/net*.sh talk to: HTTP and HTTPS on ports of its own choice.

net_witness.py DIRECTORY: writes http.port and https.port there, notes every request in requests
(one JSON object a line, with its headers), serves the files of www/, and answers /echo with the
request's headers, /hold with nothing. Below /git/ are repositories of www/, by git's own
http-backend, for whoever has the password in $WITNESS_PASSWORD. Its certificate is tls.pem."""
import base64
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading

directory = sys.argv[1]
noted = open(os.path.join(directory, "requests"), "a", buffering=1)


class Witness(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=os.path.join(directory, "www"))

    def log_message(self, *arguments):
        pass

    def parse_request(self):
        good = super().parse_request()
        if good:
            entry = {"tls": self.server.tls, "line": self.requestline, "headers": dict(self.headers)}
            noted.write(json.dumps(entry) + "\n")
        return good

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def git(self):
        body = self.body()
        login = base64.b64encode(b"user:" + os.environb[b"WITNESS_PASSWORD"]).decode()
        if self.headers.get("Authorization") != "Basic " + login:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="witness"')
            self.send_header("Content-Length", "0")
            return self.end_headers()
        path, _, query = self.path.partition("?")
        backend = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, env={
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": os.path.join(directory, "www"),
            "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path[len("/git"):], "QUERY_STRING": query,
            "REQUEST_METHOD": self.command, "REMOTE_USER": "user", "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")})
        head, _, answer = backend.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        self.send_response(int(dict(fields).get("Status", "200").split()[0]))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_POST(self):
        if self.path.startswith("/git/"):
            return self.git()
        self.send_error(405)

    def do_GET(self):
        if self.path.startswith("/git/"):
            return self.git()
        if self.path == "/hold":  # until the other side has enough
            self.close_connection = True
            return self.connection.recv(1)
        if not self.path.startswith("/echo"):
            return super().do_GET()
        body = str(self.headers).encode() + self.path.encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(name, context):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Witness)
    server.tls = context is not None
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with open(os.path.join(directory, name + ".port.new"), "w") as file:
        file.write(str(server.server_address[1]))
    os.rename(file.name, os.path.join(directory, name + ".port"))
    server.serve_forever()


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(directory, "tls.pem"))
threading.Thread(target=serve, args=("http", None), daemon=True).start()
serve("https", context)
