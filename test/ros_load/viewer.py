#!/usr/bin/python3
"""Subscribes to another robot's sensors; fetches the map again and again, as a late subscriber does."""
import queue
import threading
import zlib

import rospy
import tf2_ros
from nav_msgs.msg import OccupancyGrid
from record import finish_on_signal, finished, record
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage


def see(message, topic):
    # rospy numbers messages with a header itself; what was put in is in the data.
    number = int.from_bytes(message.data[:4], 'little')
    whole = message.data == message.data[:4] * (message.step * message.height // 4)
    record(heard=topic, n=number, sent=message.header.stamp.to_sec(), ok=whole, size=len(message.data))


def see_transforms(message):
    for transform in message.transforms:
        record(heard='/tf', n=int(transform.transform.translation.x), sent=transform.header.stamp.to_sec())


def fetch_maps():
    """Subscribe, wait for the latched map, unsubscribe: over a new connection each time."""
    while not finished.is_set():
        maps = queue.Queue()
        began = rospy.get_time()
        subscriber = rospy.Subscriber('/map', OccupancyGrid, maps.put, buff_size=1 << 22)
        try:
            checksum = zlib.crc32(bytes(maps.get(timeout=90).data))
        except queue.Empty:
            checksum = None
        record(called='/map', ok=checksum is not None, map=checksum, took=rospy.get_time() - began)
        subscriber.unregister()
        finished.wait(3)


def look_up():
    tree = tf2_ros.Buffer()
    tf2_ros.TransformListener(tree)
    while not finished.wait(0.2):
        try:
            found = tree.lookup_transform('map', 'camera', rospy.Time(0))
        except tf2_ros.TransformException as error:
            record(lookup=str(error), ok=False)
        else:
            # The static part (0.5) is in it, and the number that the moving part was.
            record(lookup='map camera', ok=True, x=found.transform.translation.x,
                   sent=found.header.stamp.to_sec())


rospy.init_node('viewer')
finish_on_signal()
for name in ('/camera', '/survey'):
    # rospy's default of 64 KiB would let it read a large message in many small steps.
    rospy.Subscriber(name, Image, see, callback_args=name, buff_size=1 << 24)
rospy.Subscriber('/tf', TFMessage, see_transforms)
for target in (fetch_maps, look_up):
    threading.Thread(target=target, daemon=True).start()
rospy.spin()
