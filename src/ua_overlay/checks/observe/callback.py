"""Have the team's master call us back, as it calls every node, which proves that it reaches this robot.

This uses ROS's Master API (http://wiki.ros.org/ROS/Master_API): the master announces each new publisher to the
subscribers with a publisherUpdate call to their registered URI. So a short-lived XML-RPC server on an ephemeral port
subscribes to a topic that no other program uses, then publishes it; the master's call arrives or does not. Finally it
removes both registrations. There is no other way to make a machine connect to us without its consent.
"""
import os
import socket
import threading
from typing import Any, Set
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from ua_overlay.checks.facts import Callback
from ua_overlay.digits import is_number
from ua_overlay.rosenv.master import ERRORS, master_proxy, value_of
from ua_overlay.system.thread import SupervisedThread

#: Longest call, in bytes; the master's has some hundred.
_LONGEST = 65536
#: Maximum number of topics that are noted: two are expected.
_MOST_NOTIFIED = 16


class _Quiet(SimpleXMLRPCRequestHandler):
    #: Seconds; a connection that sends nothing must not block the server.
    timeout = 2.0

    def log_message(self, *args: Any) -> None:
        """Write nothing to stderr."""

    def decode_request_content(self, data: bytes) -> Any:
        """Refuse compressed calls: no master sends one, and a short one can be a bomb."""
        if self.headers.get('content-encoding', 'identity') == 'identity':
            return data
        self.send_error(415)
        return None

    def do_POST(self) -> None:
        length = self.headers.get('content-length', '')
        if not is_number(length, 9) or int(length) > _LONGEST:
            self.send_error(413)
            return
        super().do_POST()


class _Server(SimpleXMLRPCServer):
    def handle_error(self, *_: Any) -> None:
        """Drop a connection that breaks; everybody in the overlay may open one. The base class prints a traceback."""


class _Listener:
    """An XML-RPC server that notes the topics of which it is notified."""

    def __init__(self) -> None:
        self._notified: Set[str] = set()
        self._changed = threading.Condition()
        self._server = _Server(('0.0.0.0', 0), requestHandler=_Quiet, logRequests=False)
        self._server.register_function(self._publisher_update, 'publisherUpdate')
        self.port: int = self._server.server_address[1]
        SupervisedThread('callback', lambda: self._server.serve_forever(poll_interval=0.1), restart=False).start()

    def _publisher_update(self, *arguments: Any) -> Any:
        topic = arguments[1] if len(arguments) == 3 else ''  # caller, topic, publishers
        with self._changed:
            if isinstance(topic, str) and len(self._notified) < _MOST_NOTIFIED:
                self._notified.add(topic)
            self._changed.notify_all()
        return [1, '', 0]

    def wait(self, topic: str, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: topic in self._notified, seconds)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def ask_callback(master_uri: str, address: str, name: str, timeout: float = 2.0) -> Callback:
    """Have the master at ``master_uri`` call this robot, first at ``address``, then, if that call arrived, at ``name``.

    The order protects the master: a call whose packets are dropped blocks one of its three threads for two minutes, so
    there is at most one such call.

    :param name: '' when the team uses addresses.
    :param timeout: seconds to wait for each call and for each answer of the master.
    """
    try:
        listener = _Listener()
    except OSError as error:
        return Callback(problem='no port to listen on: {}'.format(error.strerror or error))
    try:
        by_address = _called(listener, master_uri, address, 'address', timeout)
        by_name = _called(listener, master_uri, name, 'name', timeout) if by_address and name else None
        return Callback(by_address, by_name)
    except ERRORS as error:
        slow = isinstance(error, (TimeoutError, socket.timeout))
        return Callback(problem='the master accepted no registration: {}'.format(
            'no answer in time' if slow else type(error).__name__))
    finally:
        listener.close()


def _called(listener: _Listener, master_uri: str, host: str, how: str, timeout: float) -> bool:
    unique = 'ua_overlay_doctor_{}_{}_{}'.format(os.getpid(), listener.port, how)
    caller, topic, uri = '/' + unique, '/' + unique, 'http://{}:{}/'.format(host, listener.port)
    master: Any
    with master_proxy(master_uri, timeout) as master:
        try:
            for register in (master.registerSubscriber, master.registerPublisher):
                value_of(register(caller, topic, 'std_msgs/Empty', uri), object)
            return listener.wait(topic, timeout)
        finally:
            master.unregisterPublisher(caller, topic, uri)
            master.unregisterSubscriber(caller, topic, uri)
