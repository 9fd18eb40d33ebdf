#!/usr/bin/python3
"""Publish `hello 1`, `hello 2`… on /chatter, ten times a second."""
import itertools

import rospy
from std_msgs.msg import String

rospy.init_node('talker')
topic = rospy.Publisher('/chatter', String, queue_size=1000)
rate = rospy.Rate(10)
for number in itertools.count(1):
    if rospy.is_shutdown():
        break
    topic.publish('hello {}'.format(number))
    rate.sleep()
