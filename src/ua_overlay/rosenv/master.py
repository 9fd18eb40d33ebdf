"""Probe the ROS master at a URI: plain XML-RPC (http://wiki.ros.org/ROS/Master_API) without rospy, within a hard
deadline."""
import http.client
import socket
import xml.parsers.expat
import xmlrpc.client
from dataclasses import dataclass
from typing import Any, Callable, Tuple

from ua_overlay.system.deadline import Calls

CALLER_ID = '/ua_overlay'
#: Seconds, name resolution included.
DEADLINE = 2.0


@dataclass(frozen=True)
class MasterAnswer:
    """The answer of a master.

    :ivar alive: it answered as a ROS master does.
    :ivar pid: its process id on its own machine, 0 when it did not answer.
    :ivar run_id: the parameter /run_id, which differs for every roscore; '' when it is not set.
    :ivar why: why it is not alive, as a sentence; '' when it is.
    """

    alive: bool
    pid: int = 0
    run_id: str = ''
    why: str = ''


class TimeoutTransport(xmlrpc.client.Transport):
    """HTTP with a socket timeout, for which xmlrpc.client has no argument.

    :param timeout: seconds for each socket operation.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        kept_host, connection = self._connection or (None, None)
        if connection is None or host != kept_host:
            connection = http.client.HTTPConnection(self.get_host_info(host)[0], timeout=self._timeout)
            self._connection = host, connection
        return connection


def master_proxy(uri: str, timeout: float) -> xmlrpc.client.ServerProxy:
    """Return the Master API at ``uri``; a context manager.

    :param timeout: seconds for each socket operation.
    """
    return xmlrpc.client.ServerProxy(uri, transport=TimeoutTransport(timeout))


def ask_master(uri: str, timeout: float = DEADLINE) -> Tuple[int, str]:
    """Ask the master at ``uri`` for its (pid, run_id). The timeout holds for each socket operation.

    :raises OSError, xmlrpc.client.Error, http.client.HTTPException, ValueError: no master answers.
    """
    master: Any
    with master_proxy(uri, timeout) as master:
        code, text, pid = master.getPid(CALLER_ID)
        if code != 1:
            raise ValueError('getPid failed: {}'.format(text))
        code, _, run_id = master.getParam(CALLER_ID, '/run_id')
        return int(pid), str(run_id) if code == 1 else ''


class MasterProbe:
    """Probes masters; one that does not answer costs at most a thread and the deadline."""

    def __init__(self, ask: Callable[[str, float], Tuple[int, str]] = ask_master, deadline: float = DEADLINE) -> None:
        self._ask = ask
        self._deadline = deadline
        self._calls = Calls()

    def __call__(self, uri: str) -> MasterAnswer:
        """Probe the master at ``uri`` within the deadline; network errors become part of the answer."""
        answer, error = self._calls.run({uri: lambda: self._ask(uri, self._deadline)}, self._deadline)[uri]
        if error is not None:
            return MasterAnswer(False, why=_sentence(uri, error))
        assert answer is not None, 'Calls.run returns one of the two'
        return MasterAnswer(True, answer[0], answer[1])


def _sentence(uri: str, error: BaseException) -> str:
    if isinstance(error, (TimeoutError, socket.timeout)):  # two classes before Python 3.10
        return 'The ROS master at {} did not answer in time.'.format(uri)
    if isinstance(error, ConnectionRefusedError):
        return 'No ROS master listens at {}.'.format(uri)
    if isinstance(error, OSError):
        return 'The ROS master at {} cannot be reached: {}.'.format(uri, error.strerror or error)
    if isinstance(error, (xmlrpc.client.Error, http.client.HTTPException, xml.parsers.expat.ExpatError, ValueError,
                          TypeError)):
        return 'The program that listens at {} is not a ROS master.'.format(uri)
    raise error
