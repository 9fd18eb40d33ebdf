"""Probe the ROS master at a URI: plain XML-RPC (http://wiki.ros.org/ROS/Master_API) without rospy, within a hard
deadline."""
import http.client
import re
import socket
import xml.parsers.expat
import xmlrpc.client
from dataclasses import dataclass
from typing import Any, Callable, List, NoReturn, Tuple, Type, TypeVar

from ua_overlay.printable import printable
from ua_overlay.system.deadline import Calls

CALLER_ID = '/ua_overlay'
#: Seconds, name resolution included.
DEADLINE = 2.0
#: Longest answer, in bytes: the state of a master with 1,000 nodes and 5,000 topics has 2 MB.
LONGEST = 8 * 1024 * 1024
#: A number of so many digits takes Python 3.8 seconds, and no master sends one.
_LONG_NUMBER = re.compile(b'>[ \t\r\n]*-?[0-9]{61}')

#: What a connection to a program raises that may not be a ROS master.
ERRORS = (OSError, xmlrpc.client.Error, http.client.HTTPException, xml.parsers.expat.ExpatError, ValueError)

_Value = TypeVar('_Value')


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

    #: rosmaster compresses long answers for those who ask; a short one can be a bomb.
    accept_gzip_encoding = False

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        kept_host, connection = self._connection or (None, None)
        if connection is None or host != kept_host:
            connection = http.client.HTTPConnection(self.get_host_info(host)[0], timeout=self._timeout)
            self._connection = host, connection
        return connection

    def parse_response(self, response: Any) -> Any:
        """Return the value in an answer of bounded size, without a document type (entities may be a bomb).

        :raises ValueError: it is too long, compressed (we did not ask for that), or holds what no master sends.
        """
        if response.getheader('Content-Encoding', 'identity') != 'identity':
            raise ValueError('a compressed answer')
        body = response.read(LONGEST + 1)
        if len(body) > LONGEST or _LONG_NUMBER.search(body):
            response.close()  # else the other end goes on sending for as long as somebody holds the exception
            raise ValueError('an answer that no ROS master sends')
        parser, unmarshaller = self.getparser()
        parser._parser.StartDoctypeDeclHandler = _refuse_doctype  # type: ignore[attr-defined]  # typeshed hides it
        try:
            parser.feed(body)
            parser.close()
            return unmarshaller.close()
        except (TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            # xmlrpc.client checks neither the order of the tags nor their values.
            raise ValueError('invalid XML-RPC: {}'.format(type(error).__name__)) from None


def _refuse_doctype(*_: object) -> NoReturn:
    raise ValueError('XML with a document type')


def value_of(answer: object, kind: Type[_Value]) -> _Value:
    """Return the value in an answer of the Master API, [1, status message, value].

    :raises ValueError: it reports a failure, or has another shape.
    """
    if not isinstance(answer, (list, tuple)) or len(answer) != 3 or type(answer[0]) is not int:
        raise ValueError('the answer is not [code, message, value]')
    if answer[0] != 1:
        raise ValueError(printable(answer[1]))
    if not isinstance(answer[2], kind) or isinstance(answer[2], bool):
        raise ValueError('the answer is not {}'.format(kind.__name__))
    return answer[2]


def texts(value: object) -> List[str]:
    """Return a list of printable texts.

    :raises ValueError: it is something else.
    """
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError('not a list of texts')
    return [printable(each, 1000) for each in value]


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
        pid = value_of(master.getPid(CALLER_ID), int)
        try:
            return pid, printable(value_of(master.getParam(CALLER_ID, '/run_id'), str))
        except ValueError:
            return pid, ''  # not set yet


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
    if isinstance(error, ERRORS):
        return 'The program that listens at {} is not a ROS master.'.format(uri)
    raise error
