#!/usr/bin/python3
"""A node that ignores SIGINT and SIGTERM; as a launch-prefix it takes the place of the node behind it."""
import signal
import threading

import rospy

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
rospy.init_node('stubborn', disable_signals=True)
threading.Event().wait()
