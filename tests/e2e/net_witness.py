#!/usr/bin/env python3
"""The server that e2e/net.sh's guests talk to: HTTP and HTTPS on ports of its own choice.

net_witness.py DIRECTORY: writes http.port and https.port there, notes every request in requests
(one JSON object a line, with its headers), serves the files of www/, and answers /echo with the
request's headers. Its certificate is tls.pem."""
import http.server
import json
import os
import ssl
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

    def do_GET(self):
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
