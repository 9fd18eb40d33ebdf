#!/usr/bin/python3
"""The two ends of a camera's stream that `ua-overlay measure run` times. Each prints one JSON object at its end.

  measure_video.py show NAME --seconds 30                                  on one robot, first
  measure_video.py film NAME --seconds 30 --encoding jpeg --rate 30        on the other robot

Both need the messages of sensor_msgs (a part of Noetic's ros-core; on Debian `apt-get install python3-sensor-msgs`).
Raw frames are sensor_msgs/Image on NAME, JPEG is sensor_msgs/CompressedImage on NAME/compressed, as in image_transport.
Both queues hold one frame: a camera has a newer one, and a viewer needs only the newest.
"""
import argparse
import json
import socket
import threading
import time
from typing import Any, Dict, List, Tuple, Type, Union

import rospy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from ua_overlay.measure.hosts import processor
from ua_overlay.measure.tools import frames
from ua_overlay.measure.tools.ends import PATIENCE, wait
from ua_overlay.measure.tools.picture import Picture

#: A frame class of ROS.
Frame = Union[Image, CompressedImage]
#: After so many seconds without a frame, missing frames count as lost.
QUIET = 10.0
#: `measure run` waits for this line before it starts a program beside the stream.
READY = 'ready'


class Load:
    """Measures the processor load of this program and its machine from now on."""

    def __init__(self) -> None:
        self.begin = self._now()

    @staticmethod
    def _now() -> Tuple[float, float, processor.Ticks]:
        with open('/proc/stat') as stream:
            return time.monotonic(), time.process_time(), processor.parse_ticks(stream.read())

    def percents(self) -> Dict[str, Any]:
        """{process_percent: of one processor, machine_percent: of all}."""
        then, now = self.begin, self._now()
        return {'process_percent': round(100 * (now[1] - then[1]) / max(0.001, now[0] - then[0]), 1),
                'machine_percent': processor.busy_percent(then[2], now[2])}


def names(args: argparse.Namespace) -> Tuple[str, str]:
    """(topic of the frames, topic of the end)."""
    return (args.name if args.encoding == 'raw' else args.name + '/compressed'), args.name + '/end'


def film(args: argparse.Namespace) -> Dict[str, Any]:
    """The camera."""
    kind = Image if args.encoding == 'raw' else CompressedImage
    name, end_name = names(args)
    picture = Picture(args.width, args.height, args.encoding)
    topic = rospy.Publisher(name, kind, queue_size=1)
    end = rospy.Publisher(end_name, String, queue_size=1, latch=True)
    if not wait(lambda: topic.get_num_connections() > 0 and end.get_num_connections() > 0, PATIENCE, rospy.is_shutdown):
        return {'error': 'nobody subscribed to {} within {:.0f} s'.format(name, PATIENCE)}
    try:
        congestion = congestion_of(topic, args.congestion)
    except OSError as error:
        return {'error': 'the kernel does not let a user choose the congestion control {} ({})'.format(
            args.congestion, error.strerror)}
    print(READY, flush=True)
    time.sleep(args.lead)
    camera = frames.Camera(args.omit, args.seconds, args.rate, time.monotonic)
    for number in camera.slots(time.sleep):
        if number == args.omit or not number:
            load = Load()
        message = message_of(kind, args, picture.frame(number))
        camera.took(number, len(message.data))
        topic.publish(message)
    percents = load.percents()
    end.publish(json.dumps(camera.numbers()))
    # The viewer leaves when no more frames will come.
    wait(lambda: topic.get_num_connections() == 0, 3 * PATIENCE, rospy.is_shutdown)
    return dict(camera.totals(), congestion=congestion, **percents)


def message_of(kind: Type[Frame], args: argparse.Namespace, data: bytes) -> Frame:
    """A frame that was taken now."""
    message = kind()
    message.header.stamp = rospy.Time.from_sec(time.time())
    message.header.frame_id = 'camera'
    message.data = data
    if kind is CompressedImage:
        message.format = 'bgr8; jpeg compressed bgr8'
    else:
        message.width, message.height, message.step, message.encoding = args.width, args.height, 3 * args.width, 'bgr8'
    return message


def congestion_of(topic: rospy.Publisher, name: str) -> str:
    """Set the congestion control of the stream's connection, unless ``name`` is ''; returns what the connection has.

    :raises OSError: the kernel does not have it, or not for every user.
    """
    congestion = ''
    for connection in list(topic.impl.connections):
        if name:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        congestion = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b'\0').decode()
    return congestion


def show(args: argparse.Namespace) -> Dict[str, Any]:
    """The viewer."""
    name, end_name = names(args)
    viewer, ended = frames.Viewer(), threading.Event()
    load: List[Load] = []

    def take(message: Frame) -> None:
        now = time.time()
        if not load:
            load.append(Load())
        viewer.took(message.header.seq, message.header.stamp.to_sec(), now, len(message.data))

    def over(message: String) -> None:
        viewer.numbers = json.loads(message.data)
        ended.set()

    rospy.Subscriber(end_name, String, over)
    # The buffer must hold a frame: with a smaller buffer, rospy reads a frame in many small pieces.
    rospy.Subscriber(name, Image if args.encoding == 'raw' else CompressedImage, take, queue_size=1, buff_size=1 << 23,
                     tcp_nodelay=args.nodelay)
    wait(ended.is_set, 2 * PATIENCE + args.lead + 2 * args.seconds, rospy.is_shutdown)
    last = [time.monotonic(), 0]

    def complete() -> bool:
        if viewer.count != last[1]:
            last[:] = [time.monotonic(), viewer.count]
        return viewer.complete or time.monotonic() - last[0] > QUIET

    wait(complete, 2 * PATIENCE, rospy.is_shutdown)
    percents = load[0].percents() if load else {}
    if not ended.is_set():
        return {'error': 'the end of {} did not arrive'.format(name)}
    return dict(viewer.totals(args.seconds, args.rate), **percents)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('end', choices=['film', 'show'])
    parser.add_argument('name')
    parser.add_argument('--encoding', choices=['raw', 'jpeg'], default='jpeg')
    parser.add_argument('--width', type=int, default=1280)
    parser.add_argument('--height', type=int, default=720)
    parser.add_argument('--rate', type=float, default=30.0)
    parser.add_argument('--seconds', type=float, default=10.0)
    parser.add_argument('--omit', type=int, default=0, help='first frames that do not count')
    parser.add_argument('--lead', type=float, default=0.0, help='seconds from `ready` to the first frame')
    parser.add_argument('--congestion', default='', help='congestion control of the stream')
    parser.add_argument('--nodelay', action='store_true', help='set TCP_NODELAY at the viewer')
    parser.add_argument('--master', type=int, default=0, metavar='PORT', help='run a roscore as well')
    args = parser.parse_args(rospy.myargv()[1:])
    if args.master:
        from rosmaster.master import Master
        Master(args.master).start()
    rospy.init_node('ua_overlay_video', anonymous=True, disable_signals=True)
    print(json.dumps({'film': film, 'show': show}[args.end](args)), flush=True)


if __name__ == '__main__':
    main()
