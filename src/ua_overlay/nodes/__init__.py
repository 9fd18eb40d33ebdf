"""ROS adapters: the overlay node and its mirror; nothing else in the package imports rospy, except wtf.py.

``state`` holds everything that the node has observed, without ROS: start there for any further output (metrics, a log).
``messages`` and ``diagnostics`` turn it into ROS messages, and ``overlay`` connects them to the observers.
"""
