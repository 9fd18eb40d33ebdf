#!/usr/bin/python3
"""Says what it hears on the topics that are its arguments."""
import sys

import rospy
from record import record
from std_msgs.msg import Header


def hear(message, topic):
    record(heard=topic, n=message.seq, sent=message.stamp.to_sec())


rospy.init_node('listener')
for name in rospy.myargv(sys.argv)[1:]:
    rospy.Subscriber(name, Header, hear, callback_args=name)
rospy.spin()
