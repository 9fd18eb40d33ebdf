"""Is a ROS master alive at a URI? Plain XML-RPC (http://wiki.ros.org/ROS/Master_API), no rospy, and a hard deadline."""
import http.client
import socket
import xml.parsers.expat
import xmlrpc.client
from dataclasses import dataclass

from ua_overlay.system.deadline import Calls

CALLER_ID = '/ua_overlay'
#: Seconds, name resolution included.
DEADLINE = 2.0


@dataclass(frozen=True)
class MasterAnswer:
    """What a master said.

    :ivar alive: it answered as a ROS master does.
    :ivar pid: its process id on its own machine, 0 when it did not answer.
    :ivar run_id: the parameter /run_id, which is new with every roscore; '' when it is not set.
    :ivar why: a sentence when it is not alive, else ''.
    """

    alive: bool
    pid: int = 0
    run_id: str = ''
    why: str = ''


class TimeoutTransport(xmlrpc.client.Transport):
    """HTTP with a socket timeout, which xmlrpc.client has no argument for."""

    def __init__(self, timeout):
        super().__init__()
        self._timeout = timeout

    def make_connection(self, host):
        if self._connection and host == self._connection[0]:
            return self._connection[1]
        self._connection = host, http.client.HTTPConnection(self.get_host_info(host)[0], timeout=self._timeout)
        return self._connection[1]


def ask_master(uri, timeout=DEADLINE):
    """Ask the master at ``uri`` for its pid and run_id. The timeout holds for each socket operation only.

    :raises OSError, xmlrpc.client.Error, http.client.HTTPException, ValueError: when it is no master that answers.
    """
    with xmlrpc.client.ServerProxy(uri, transport=TimeoutTransport(timeout)) as proxy:
        code, text, pid = proxy.getPid(CALLER_ID)
        if code != 1:
            raise ValueError('getPid failed: {}'.format(text))
        code, _, run_id = proxy.getParam(CALLER_ID, '/run_id')
        return int(pid), str(run_id) if code == 1 else ''


class MasterProbe:
    """Asks masters; a black hole costs one thread and the deadline, never more."""

    def __init__(self, ask=ask_master, deadline=DEADLINE):
        self._ask = ask
        self._deadline = deadline
        self._calls = Calls()

    def __call__(self, uri):
        """Return a :class:`MasterAnswer` within the deadline; raises nothing that the network can cause."""
        answer, error = self._calls.run({uri: lambda: self._ask(uri, self._deadline)}, self._deadline)[uri]
        if error is None:
            return MasterAnswer(True, answer[0], answer[1])
        return MasterAnswer(False, why=_sentence(uri, error))


def _sentence(uri, error):
    if isinstance(error, (TimeoutError, socket.timeout)):  # one and the same only since Python 3.10
        return 'The ROS master at {} gave no answer in time.'.format(uri)
    if isinstance(error, ConnectionRefusedError):
        return 'No ROS master listens at {}.'.format(uri)
    if isinstance(error, OSError):
        return 'The ROS master at {} cannot be reached: {}.'.format(uri, error.strerror or error)
    if isinstance(error, (xmlrpc.client.Error, http.client.HTTPException, xml.parsers.expat.ExpatError, ValueError,
                          TypeError)):
        return 'What listens at {} is no ROS master.'.format(uri)
    raise error
