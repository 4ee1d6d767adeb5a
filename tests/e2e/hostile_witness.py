#!/usr/bin/env python3
"""The servers that e2e/hostile_link.sh's guest may, and may not, reach.

hostile_witness.py: prints the ports (open, forbidden), serves /small and /big on the first one, and
says "reached ADDRESS" for every connection to the second."""
import http.server
import socketserver
import threading

BIG = 8 << 20


class Open(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        body = b"small" if self.path == "/small" else bytes(BIG)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:  # whoever never reads goes at last
            self.close_connection = True


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


class Forbidden(Server):
    def verify_request(self, request, client_address):
        print("reached", client_address, flush=True)
        return False


servers = Server(("127.0.0.1", 0), Open), Forbidden(("0.0.0.0", 0), None)
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(*(server.server_address[1] for server in servers), flush=True)
threading.Event().wait()
