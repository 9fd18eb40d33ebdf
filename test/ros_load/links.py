#!/usr/bin/python3
"""Says which path the link to another robot takes, as the local graph's overlay node publishes it."""
import sys

import rospy
from record import record

from ua_overlay import link_types
from ua_overlay.msg import Link, LinkArray

NAMES = {getattr(Link, name): name for name in link_types.ORDER}


def see(message):
    for link in message.links:
        if link.peer == peer:
            record(link=NAMES[link.type])


rospy.init_node('link_watch')
peer = rospy.myargv(sys.argv)[1]
rospy.Subscriber('/ua_overlay/links', LinkArray, see)
rospy.spin()
