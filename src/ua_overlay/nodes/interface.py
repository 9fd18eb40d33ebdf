"""The ROS interface, run twice: the topics and services of the overlay node, in the local graph and in the team's.

The mirror is another process (nodes.mirror), since a process can be in one graph only. The overlay node hands it
every message over a Unix socket and answers its services.
"""
import io
import os
import socket
import struct
import threading

import rospy
from diagnostic_msgs.msg import DiagnosticArray

from ua_overlay import msg, srv

#: Name -> (topic, type, latched).
TOPICS = {
    'state': ('~state', msg.OverlayState, True),
    'peers': ('~peers', msg.PeerArray, True),
    'links': ('~links', msg.LinkArray, True),
    'ros_environment': ('~ros_environment', msg.RosEnvironment, True),
    'team_runner': ('~team_runner', msg.TeamRunner, True),
    'link_events': ('~link_events', msg.LinkEvent, False),
    'diagnostics': ('/diagnostics', DiagnosticArray, False),
}
#: Name -> type.
SERVICES = {'join': srv.Join, 'leave': srv.Leave, 'probe': srv.Probe}
#: Longest packet; the kernel's default limit of a Unix socket (net.core.wmem_default).
PACKET = 212992


def advertise():
    """The publishers of :data:`TOPICS` in the graph that this process is in, by name."""
    return {name: rospy.Publisher(topic, kind, latch=latched, queue_size=1 if latched else 50)
            for name, (topic, kind, latched) in TOPICS.items()}


def serve(handle):
    """Offer :data:`SERVICES`; ``handle(name, request)`` returns the response."""
    for name, kind in SERVICES.items():
        rospy.Service('~' + name, kind, lambda request, name=name: handle(name, request))


def pack(name, message, number=0):
    """A message, request or response as one packet: number of the call, name, content."""
    content = io.BytesIO()
    message.serialize(content)
    return struct.pack('>I', number) + name.encode('ascii') + b'\0' + content.getvalue()


def unpack(packet):
    """(number, name, content) of a packet."""
    name, _, content = packet[4:].partition(b'\0')
    return struct.unpack('>I', packet[:4])[0], name.decode('ascii'), content


def peer_uid(connection):
    """The user at the other end of a Unix socket (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i'))
    return struct.unpack('3i', credentials)[1]


class MirrorServer:
    """The overlay node's end: hands messages to the mirror and answers its calls.

    :param handle: (name, request) -> response, for calls that come from the team graph.
    :ivar address: of the socket, in the abstract namespace: no file is left of it. Both ends take the same user only.
    """

    def __init__(self, handle):
        self.address = 'ua_overlay/{}-{}'.format(os.getpid(), os.urandom(8).hex())
        self._handle = handle
        self._lock = threading.Lock()
        self._latest = {}
        self._clients = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind('\0' + self.address)
        self._socket.listen(2)
        threading.Thread(target=self._accept, name='mirror', daemon=True).start()

    def publish(self, name, message):
        """Hand a message over; never blocks. What does not get through is made good by the next heartbeat."""
        packet = pack(name, message)
        with self._lock:
            if TOPICS[name][2]:
                self._latest[name] = packet
            for client in self._clients:
                self._send(client, packet)

    def _accept(self):
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

    def _listen(self, client):
        try:
            while True:
                packet = client.recv(PACKET)
                if not packet:
                    return
                threading.Thread(target=self._answer, args=(client, packet), daemon=True).start()
        except ConnectionError:
            return  # it was killed
        finally:
            with self._lock:
                self._clients.remove(client)
            client.close()

    def _answer(self, client, packet):
        number, name, content = unpack(packet)
        request = SERVICES[name]._request_class()
        request.deserialize(content)
        response = pack(name, self._handle(name, request), number)
        with self._lock:
            if client in self._clients:
                self._send(client, response)

    @staticmethod
    def _send(client, packet):
        try:
            client.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            rospy.logwarn_throttle(60, 'The mirror does not keep up; a message was left out.')
        except OSError as error:
            rospy.logdebug('The mirror is gone: %s', error)  # its reader says goodbye to it
