"""A team's node on a robot: logs its start and each message from another robot to EVENTS, by the monotonic clock.

Each node publishes the name of its robot once, latched, on one topic that all nodes hear, so the numbers do not depend
on the publishers' clocks.
"""
import json
import os
import time

EVENTS = os.path.expanduser('~/bench-events')


def note(event, **more):
    more.update(event=event, time=time.monotonic(), master=os.environ['ROS_MASTER_URI'], pid=os.getpid())
    # In a single call: each connection has its own thread.
    with open(EVENTS, 'ab', buffering=0) as stream:
        stream.write((json.dumps(more) + '\n').encode())


# The imports are a part of the start.
note('started')

import rospy  # noqa: E402
from std_msgs.msg import String  # noqa: E402

OWN = os.environ['UA_OVERLAY_ROBOT']


def hear(message):
    if message.data != OWN:
        note('heard', who=message.data)


rospy.init_node('bench_team_node')
publisher = rospy.Publisher('/bench/names', String, queue_size=1, latch=True)
publisher.publish(OWN)
subscriber = rospy.Subscriber('/bench/names', String, hear, tcp_nodelay=True)
note('registered')
rospy.spin()
note('ended')
