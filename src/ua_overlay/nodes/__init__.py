"""ROS adapters: the overlay node and its mirror. Only this room and wtf.py import rospy.

``state`` holds everything that the node has observed, without ROS: start there for any further output (metrics, a log).
``messages`` and ``diagnostics`` turn it into ROS messages, and ``overlay`` connects them to the observers.
"""
