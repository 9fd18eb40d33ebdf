"""The mirror: says in the team graph what the overlay node says in the local one, as `/<robot>/overlay`.

`python3 -m ua_overlay.nodes.mirror ADDRESS`, started by the overlay node in the team's environment with
ROS_NAMESPACE=/<robot>. It ends when the overlay node does.
"""
import os
import socket
import sys
import threading

import rospy

from ua_overlay.nodes import interface

#: Seconds for an answer of the overlay node; a join takes the longest.
ANSWER_TIMEOUT = 120.0


class MirrorNode:
    """:param connection: socket to the overlay node's nodes.interface.MirrorServer."""

    def __init__(self, connection):
        self.connection = connection
        self.publishers = interface.advertise()
        self.answers = {}
        self.arrived = threading.Condition()
        self.calls = 0

    def run(self):
        """Work until the overlay node or ROS ends."""
        interface.serve(self.call)
        while True:
            packet = self.connection.recv(interface.PACKET)
            if not packet:
                return
            number, name, content = interface.unpack(packet)
            if number:
                response = interface.SERVICES[name]._response_class()
                response.deserialize(content)
                with self.arrived:
                    self.answers[number] = response
                    self.arrived.notify_all()
            else:
                message = interface.TOPICS[name][1]()
                message.deserialize(content)
                self.publishers[name].publish(message)

    def call(self, name, request):
        """Let the overlay node answer a service."""
        with self.arrived:
            self.calls += 1
            number = self.calls
            self.connection.send(interface.pack(name, request, number))
            if not self.arrived.wait_for(lambda: number in self.answers, ANSWER_TIMEOUT):
                raise rospy.ServiceException('The overlay node gave no answer. Next: ua-overlay status')
            return self.answers.pop(number)


def main(argv=None):
    address, = (sys.argv if argv is None else argv)[1:2]
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect('\0' + address)
    if interface.peer_uid(connection) != os.geteuid():
        raise PermissionError('the socket is another user\'s')
    rospy.init_node('overlay', argv=['mirror'])
    # recv blocks: shutting the socket down is what ends it.
    rospy.on_shutdown(lambda: connection.shutdown(socket.SHUT_RDWR))
    MirrorNode(connection).run()
    return 0


if __name__ == '__main__':
    sys.exit(main())
