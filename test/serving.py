"""Serve in a thread for a block: real XML-RPC, HTTP and other servers of tests, on loopback."""
import contextlib
import threading


@contextlib.contextmanager
def serving(server):
    """Run ``server`` (of socketserver) for a block; gives its URL."""
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
    thread.start()
    try:
        yield 'http://127.0.0.1:{}'.format(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
