#!/usr/bin/python3
"""For tests only: prints what the overlay node publishes, one JSON object a line, until it is ended.

    {"topic": "state", "value": {…}, "t": Unix time}    a message on /ua_overlay/state
    {"topic": "state", "value": null, "t": Unix time}   nobody publishes it any more

`diagnostics` is /diagnostics. The program waits for the local graph, and starts again when another graph takes its
place. A `rostopic echo` for each question would cost half a second of a processor each time.
"""
import json
import os
import sys
import time
import xmlrpc.client

import genpy
import rosgraph
import rospy
from diagnostic_msgs.msg import DiagnosticArray

from ua_overlay import msg

TOPICS = {'state': msg.OverlayState, 'peers': msg.PeerArray, 'links': msg.LinkArray,
          'ros_environment': msg.RosEnvironment, 'team_runner': msg.TeamRunner, 'diagnostics': DiagnosticArray}
#: Seconds between two checks of who is there.
PERIOD = 0.2


def plain(value):
    """A ROS message as values of JSON."""
    if isinstance(value, genpy.Message):
        return {name: plain(getattr(value, name)) for name in value.__slots__}
    if isinstance(value, (genpy.Time, genpy.Duration)):
        return value.to_sec()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def say(topic, value):
    line = json.dumps({'topic': topic, 'value': value, 't': time.time()}) + '\n'
    # In one piece: each topic has a thread, and print writes the line and its end separately.
    os.write(sys.stdout.fileno(), line.encode())


def master_pid():
    """Process id of the graph's master, None while there is none."""
    try:
        return xmlrpc.client.ServerProxy(rosgraph.get_master_uri()).getPid('/topics')[2]
    except OSError:
        return None


def main():
    master = None
    while master is None:
        master = master_pid()
        time.sleep(PERIOD)
    rospy.init_node('topics', anonymous=True, disable_rosout=True, disable_signals=True)
    subscribers = {name: rospy.Subscriber('/diagnostics' if name == 'diagnostics' else '/ua_overlay/' + name, kind,
                                          lambda message, name=name: say(name, plain(message)))
                   for name, kind in TOPICS.items()}
    heard = set()
    while master_pid() == master:
        for name, subscriber in subscribers.items():
            if subscriber.get_num_connections():
                heard.add(name)
            elif name in heard:
                heard.remove(name)
                say(name, None)
        time.sleep(PERIOD)
    for name in heard:
        say(name, None)
    # rospy knows one graph for its whole life.
    os.execv(sys.executable, [sys.executable] + sys.argv)


if __name__ == '__main__':
    main()
