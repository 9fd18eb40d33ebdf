"""The mirror: repeats the overlay node's topics in the team graph, as `/<robot>/overlay`.

`python3 -m ua_overlay.nodes.mirror ADDRESS`, started by the overlay node in the team's environment with
ROS_NAMESPACE=/<robot>. It ends when the overlay node does.
"""
import os
import socket
import sys
import threading
from typing import Any, Dict, List, Optional
from urllib.parse import urlsplit

import rospy

from ua_overlay.nodes import interface
from ua_overlay.system.reflector import Reflector
from ua_overlay.system.thread import SupervisedThread

#: Seconds for an answer of the overlay node; a join takes the longest.
ANSWER_TIMEOUT = 120.0


class MirrorNode:
    """
    :param connection: socket to the overlay node's nodes.interface.MirrorServer.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._publishers = interface.advertise()
        self._answers: Dict[int, Any] = {}
        self._arrived = threading.Condition()
        self._calls = 0

    def run(self) -> None:
        """Run until the overlay node or ROS ends."""
        interface.serve(self.call)
        while True:
            packet = self._connection.recv(interface.PACKET)
            if not packet:
                return
            number, name, content = interface.unpack(packet)
            if number:
                response = content.decode('utf-8') if name == interface.FAILED else \
                    interface.SERVICES[name]._response_class().deserialize(content)
                with self._arrived:
                    self._answers[number] = response
                    self._arrived.notify_all()
            else:
                message = interface.TOPICS[name][1]()
                message.deserialize(content)
                self._publishers[name].publish(message)

    def call(self, name: str, request: Any) -> Any:
        """Forward a service call to the overlay node and return its response.

        :raises rospy.ServiceException: it does not answer in time, or the call failed unexpectedly.
        """
        with self._arrived:
            self._calls += 1
            number = self._calls
            self._connection.send(interface.pack(name, request, number))
            if not self._arrived.wait_for(lambda: number in self._answers, ANSWER_TIMEOUT):
                raise rospy.ServiceException('The overlay node did not answer. Next: ua-overlay status')
            answer = self._answers.pop(number)
        if isinstance(answer, str):
            raise rospy.ServiceException(answer)
        return answer


def main(argv: Optional[List[str]] = None) -> int:
    address, = (sys.argv if argv is None else argv)[1:2]
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect('\0' + address)
    if interface.peer_uid(connection) != os.geteuid():
        raise PermissionError('the socket is another user\'s')
    rospy.init_node('overlay', argv=['mirror'])
    # recv blocks; shutting the socket down ends it.
    rospy.on_shutdown(lambda: connection.shutdown(socket.SHUT_RDWR))
    answer_neighbours()
    MirrorNode(connection).run()
    return 0


def answer_neighbours() -> None:
    """Answer datagrams of the team's robots (system.reflector) on the port whose number is that of this node's XML-RPC
    server, where `ua-overlay doctor` of another robot finds it through the master."""
    node = urlsplit(rospy.get_node_uri())
    try:
        reflector = Reflector(node.hostname or '', node.port or 0)
    except OSError as error:
        rospy.logwarn('Other robots cannot compare their clocks with this one\'s: UDP port %s: %s.', node.port,
                      error.strerror)
        return
    SupervisedThread('reflector', reflector.run).start()


if __name__ == '__main__':
    sys.exit(main())
