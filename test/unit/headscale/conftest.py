"""A Headscale with the answers of a test, over TLS on the loopback."""
import http.server
import ssl
import threading

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.trust import store


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request with (status, body) from the server's `answers`, and records it in `requests`."""

    def do_GET(self):
        length = int(self.headers.get('Content-Length') or 0)
        self.server.requests.append((self.command, self.path, self.headers.get('Authorization'),
                                     self.rfile.read(length).decode()))
        status, body = self.server.answers[self.path.split('?')[0]]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_DELETE = do_GET

    def log_message(self, *_args):
        return


@pytest.fixture(scope='module')
def trust(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp('site'))
    return store.init(directory, 'server.ua.test', ['server.ua.test'], [], utc_now())


@pytest.fixture
def server(trust):
    listener = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trust.certificate_path, trust.key_path)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    listener.requests, listener.answers = [], {}
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    yield listener
    listener.shutdown()
    thread.join()
    listener.server_close()
