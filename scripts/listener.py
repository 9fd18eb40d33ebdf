#!/usr/bin/python3
"""Print each message of /chatter with the Unix time of its arrival."""
import time

import rospy
from std_msgs.msg import String

rospy.init_node('listener')
rospy.Subscriber('/chatter', String, lambda message: print('{:.3f} {}'.format(time.time(), message.data), flush=True))
rospy.spin()
