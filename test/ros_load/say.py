#!/usr/bin/python3
"""Publishes 1, 2, 3… on `rospy`, 20 a second, until SIGUSR1. Its queue is never full. Offers `rospy_echo`.

The argument is the number of subscribers that it waits for.
"""
import itertools
import sys

import rospy
from diagnostic_msgs.srv import AddDiagnostics, AddDiagnosticsResponse
from record import finish_on_signal, finished, record, wait_for_subscribers
from std_msgs.msg import Header

rospy.init_node('talker')
finish_on_signal()
rospy.Service('rospy_echo', AddDiagnostics,
              lambda request: AddDiagnosticsResponse(message=request.load_namespace))
topic = rospy.Publisher('rospy', Header, queue_size=100000)
wait_for_subscribers(topic, int(rospy.myargv(sys.argv)[1]))
rate = rospy.Rate(20)
for number in itertools.count(1):
    topic.publish(Header(seq=number, stamp=rospy.Time.now()))
    rate.sleep()
    if finished.is_set():
        record(end=topic.resolved_name, n=number)
        break
rospy.spin()
