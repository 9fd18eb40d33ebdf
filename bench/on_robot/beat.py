"""On a robot: a topic at 10 Hz. `beat.py say` publishes 1, 2, 3…; `beat.py hear` prints each message with its arrival.

A line of `hear` is `NUMBER SECONDS`, by the clock of the machine: only differences of times are used.
"""
import sys
import time

import rospy
from std_msgs.msg import UInt32

TOPIC = '/bench/beat'


def say():
    """Publish until the end. The queue has a usual length: messages that do not fit are lost, and `hear` shows gaps."""
    publisher = rospy.Publisher(TOPIC, UInt32, queue_size=10)
    rate = rospy.Rate(10)
    number = 0
    while not rospy.is_shutdown():
        number += 1
        publisher.publish(number)
        try:
            rate.sleep()
        except rospy.ROSInterruptException:
            return


def hear(message):
    # In a single call: rospy has a thread for each connection.
    sys.stdout.write('{} {:.3f}\n'.format(message.data, time.time()))
    sys.stdout.flush()


role = sys.argv[1]
rospy.init_node('bench_' + role)
if role == 'say':
    say()
else:
    subscriber = rospy.Subscriber(TOPIC, UInt32, hear, tcp_nodelay=True)
    rospy.spin()
