"""A unix socket that answers with chosen bytes, as no healthy daemon does."""
import socket
import threading
import time

OK = b'HTTP/1.1 200 OK\r\nTailscale-Version: 1.98.10\r\n'


class Server:
    """Answers each connection with the next list of pieces, then closes it; keeps the requests.

    A piece is bytes to send, None to wait for a request, or a number of seconds to wait.
    """

    def __init__(self, path, *answers):
        self.requests = []
        self._answers = answers
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(5)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        for pieces in self._answers:
            connection, _ = self._listener.accept()
            with connection:
                for piece in pieces:
                    if piece is None:  # wait for a request
                        data = b''
                        while b'\r\n\r\n' not in data:
                            try:
                                got = connection.recv(65536)
                            except ConnectionResetError:  # the client gave up, as some tests want it to
                                break
                            if not got:
                                break
                            data += got
                        self.requests.append(data)
                    elif isinstance(piece, float):
                        time.sleep(piece)
                    else:
                        try:
                            connection.sendall(piece)
                        except BrokenPipeError:  # the client gave up, as some tests want it to
                            break
        self._listener.close()
