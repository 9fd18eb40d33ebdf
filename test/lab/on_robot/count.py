#!/usr/bin/python3
"""For tests only: a topic at 10 Hz whose messages are numbers from 1. `count.py say` publishes them from its first
listener on, in a queue that no pause of a test fills; `count.py hear` prints each as it comes."""
import sys

import rospy
from std_msgs.msg import UInt32

TOPIC = '/count_of_test'


def say():
    publisher = rospy.Publisher(TOPIC, UInt32, queue_size=10000)
    rate, number = rospy.Rate(10), 0
    while not rospy.is_shutdown():
        if number or publisher.get_num_connections():
            number += 1
            publisher.publish(number)
        rate.sleep()


def hear():
    rospy.Subscriber(TOPIC, UInt32, lambda message: print(message.data, flush=True), tcp_nodelay=True)
    rospy.spin()


if __name__ == '__main__':
    rospy.init_node('count_' + sys.argv[1])
    {'say': say, 'hear': hear}[sys.argv[1]]()
