"""The ROS interface, run twice: the topics and services of the overlay node, in the local graph and in the team's.

The mirror is another process (nodes.mirror), since a process can be in one graph only. The overlay node hands it
every message over a Unix socket and answers its services.
"""
import io
import os
import socket
import struct
import threading
from typing import Any, Callable, Dict, List, Tuple

import rospy
from diagnostic_msgs.msg import DiagnosticArray

from ua_overlay import msg, srv  # type: ignore[attr-defined]  # made by catkin of msg/ and srv/

#: Name -> (topic, type, latched).
TOPICS: Dict[str, Tuple[str, Any, bool]] = {
    'state': ('~state', msg.OverlayState, True),
    'peers': ('~peers', msg.PeerArray, True),
    'links': ('~links', msg.LinkArray, True),
    'ros_environment': ('~ros_environment', msg.RosEnvironment, True),
    'team_runner': ('~team_runner', msg.TeamRunner, True),
    'link_events': ('~link_events', msg.LinkEvent, False),
    'diagnostics': ('/diagnostics', DiagnosticArray, False),
}
#: Name -> type.
SERVICES: Dict[str, Any] = {'join': srv.Join, 'leave': srv.Leave, 'probe': srv.Probe}
#: Longest packet; the kernel's default limit of a Unix socket (net.core.wmem_default).
PACKET = 212992

#: (name of the service, request) -> response.
Handler = Callable[[str, Any], Any]


def advertise() -> Dict[str, rospy.Publisher]:
    """Return the publishers of :data:`TOPICS` in the graph that this process is in, by name."""
    return {name: rospy.Publisher(topic, kind, latch=latched, queue_size=1 if latched else 50)
            for name, (topic, kind, latched) in TOPICS.items()}


def serve(handle: Handler) -> None:
    """Offer :data:`SERVICES`."""
    def offer(name: str) -> None:
        rospy.Service('~' + name, SERVICES[name], lambda request: handle(name, request))
    for name in SERVICES:
        offer(name)


def pack(name: str, message: Any, number: int = 0) -> bytes:
    """Return a message, request or response as one packet: number of the call, name, content."""
    content = io.BytesIO()
    message.serialize(content)
    return struct.pack('>I', number) + name.encode('ascii') + b'\0' + content.getvalue()


def unpack(packet: bytes) -> Tuple[int, str, bytes]:
    """Return (number, name, content) of a packet."""
    name, _, content = packet[4:].partition(b'\0')
    return struct.unpack('>I', packet[:4])[0], name.decode('ascii'), content


def peer_uid(connection: socket.socket) -> int:
    """Return the user at the other end of a Unix socket (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i'))
    return int(struct.unpack('3i', credentials)[1])


class MirrorServer:
    """The overlay node's end: hands messages to the mirror and answers its calls.

    :param handle: answers calls from the team graph.
    :ivar address: of the socket, in the abstract namespace: it leaves no file. Both ends accept the same user only.
    """

    def __init__(self, handle: Handler) -> None:
        self.address = 'ua_overlay/{}-{}'.format(os.getpid(), os.urandom(8).hex())
        self._handle = handle
        self._lock = threading.Lock()
        self._latest: Dict[str, bytes] = {}
        self._clients: List[socket.socket] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind('\0' + self.address)
        self._socket.listen(2)
        threading.Thread(target=self._accept, name='mirror', daemon=True).start()

    def publish(self, name: str, message: Any) -> None:
        """Hand a message over; never blocks. The next heartbeat repeats one that does not get through."""
        packet = pack(name, message)
        with self._lock:
            if TOPICS[name][2]:
                self._latest[name] = packet
            for client in self._clients:
                self._send(client, packet)

    def _accept(self) -> None:
        while True:
            client = self._socket.accept()[0]
            if peer_uid(client) != os.geteuid():
                client.close()
                continue
            with self._lock:
                for packet in self._latest.values():
                    self._send(client, packet)
                self._clients.append(client)
            threading.Thread(target=self._listen, args=(client,), name='mirror calls', daemon=True).start()

    def _listen(self, client: socket.socket) -> None:
        try:
            while True:
                packet = client.recv(PACKET)
                if not packet:
                    return
                threading.Thread(target=self._answer, args=(client, packet), daemon=True).start()
        except ConnectionError:
            return  # the mirror was killed
        finally:
            with self._lock:
                self._clients.remove(client)
            client.close()

    def _answer(self, client: socket.socket, packet: bytes) -> None:
        number, name, content = unpack(packet)
        request = SERVICES[name]._request_class()
        request.deserialize(content)
        response = pack(name, self._handle(name, request), number)
        with self._lock:
            if client in self._clients:
                self._send(client, response)

    @staticmethod
    def _send(client: socket.socket, packet: bytes) -> None:
        try:
            client.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            rospy.logwarn_throttle(60, 'The mirror does not keep up; a message was left out.')
        except OSError as error:
            rospy.logdebug('The mirror is gone: %s', error)  # _listen removes it
