#!/usr/bin/python3
"""A robot's sensors: a camera (images of 1 MB, ten a second), a survey (one a second), a latched map, tf.

The camera's queue is as short as a camera's should be, so it drops images when a link breaks or is too slow; the
survey's never drops one.
"""
import itertools
import time
import zlib

import rospy
import tf2_ros
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import OccupancyGrid
from nav_msgs.srv import GetMap, GetMapResponse
from record import finish_on_signal, finished, record, sent, wait_for_subscribers
from sensor_msgs.msg import Image

#: Messages that the queues hold.
CAMERA = 2
SURVEY = 1000


def image(number, width=640, height=546):
    """1.05 MB; each four bytes hold the number, so that a torn image shows."""
    message = Image(width=width, height=height, encoding='rgb8', step=3 * width)
    message.header.stamp = rospy.Time.now()
    message.data = number.to_bytes(4, 'little') * (3 * width * height // 4)
    return message


def transform(parent, child, x):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = rospy.Time.now()
    message.transform.translation.x = x
    message.transform.rotation.w = 1.0
    return message


def grid():
    """A map of 1 MB."""
    message = OccupancyGrid()
    message.header.frame_id = 'map'
    message.info.width = message.info.height = 1024
    message.data = [(row * column) % 101 for row in range(1024) for column in range(1024)]
    return message


rospy.init_node('sensors')
finish_on_signal()
world = grid()
record(map=zlib.crc32(bytes(world.data)))
map_topic = rospy.Publisher('/map', OccupancyGrid, queue_size=1, latch=True)
map_topic.publish(world)
rospy.Service('/static_map', GetMap, lambda _: GetMapResponse(world))
camera = rospy.Publisher('/camera', Image, queue_size=CAMERA)
survey = rospy.Publisher('/survey', Image, queue_size=SURVEY)
fixed = tf2_ros.StaticTransformBroadcaster()
fixed.sendTransform(transform('base', 'camera', 0.5))
moving = tf2_ros.TransformBroadcaster()
# The viewer; and of tf a recorder as well.
for topic, number in ((camera, 1), (survey, 1), (moving.pub_tf, 2)):
    wait_for_subscribers(topic, number)
rate = rospy.Rate(20)
for number in itertools.count(1):
    moving.sendTransform(transform('map', 'base', float(number)))
    for topic, every in ((camera, 2), (survey, 20)):
        if number % every == 0:
            topic.publish(image(number // every))
    rate.sleep()
    if finished.is_set():
        break
# Again and again: a slow link takes its time to empty the queues.
while not rospy.is_shutdown():
    for topic, last in ((camera, number // 2), (survey, number // 20), (moving.pub_tf, number)):
        record(end=topic.resolved_name, n=last, sent=sent(topic))
    time.sleep(1)
