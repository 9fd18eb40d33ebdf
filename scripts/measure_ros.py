#!/usr/bin/python3
"""The two ends of a topic and of a service that `ua-overlay measure run` times. Each prints one JSON object at its end.

  measure_ros.py listen  NAME --seconds 10 [--omit 10]     on one robot, first
  measure_ros.py publish NAME --seconds 10 --size 1000 --rate 10     on the other robot
  measure_ros.py serve   NAME --seconds 10
  measure_ros.py call    NAME --calls 20
"""
import argparse
import json
import struct
import threading
import time
from typing import Any, Dict, List

import rospy
from roscpp.srv import Empty, EmptyResponse
from std_msgs.msg import UInt8MultiArray

from ua_overlay.measure.tools.ends import PATIENCE, wait

#: Every message begins with its number and the time of sending; the last one has the number LAST.
HEAD = struct.Struct('<qd')
LAST = -1


def publish(args: argparse.Namespace) -> Dict[str, Any]:
    """The publisher of a topic."""
    topic = rospy.Publisher(args.name, UInt8MultiArray, queue_size=100)
    if not wait(lambda: topic.get_num_connections() > 0, PATIENCE, rospy.is_shutdown):
        return {'error': 'nobody subscribed to {} within {:.0f} s'.format(args.name, PATIENCE)}
    filler = bytes(max(0, args.size - HEAD.size))
    count, start = max(1, round(args.seconds * args.rate)), time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start + number / args.rate - time.monotonic()))
        topic.publish(UInt8MultiArray(data=HEAD.pack(number, time.time()) + filler))
    topic.publish(UInt8MultiArray(data=HEAD.pack(LAST, time.time())))
    wait(lambda: topic.get_num_connections() == 0, PATIENCE, rospy.is_shutdown)
    return {'sent': max(0, count - args.omit)}


def listen(args: argparse.Namespace) -> Dict[str, Any]:
    """The subscriber of a topic."""
    arrivals: List[float] = []
    ages: List[float] = []
    ended = threading.Event()

    def take(message: UInt8MultiArray) -> None:
        now = time.time()
        number, sent = HEAD.unpack_from(bytes(message.data[:HEAD.size]))
        if number == LAST:
            ended.set()
        elif number >= args.omit:
            # Monotonic, so that setting the clock does not change the rate.
            arrivals.append(time.monotonic())
            ages.append(round(1000 * (now - sent), 3))

    rospy.Subscriber(args.name, UInt8MultiArray, take, tcp_nodelay=True)
    complete = ended.wait(PATIENCE + args.seconds + PATIENCE)
    span = arrivals[-1] - arrivals[0] if len(arrivals) > 1 else 0.0
    answer = {'received': len(arrivals), 'hz': (len(arrivals) - 1) / span if span else 0.0, 'age_ms': ages}
    return answer if complete else dict(answer, error='the last message of {} did not arrive'.format(args.name))


def serve(args: argparse.Namespace) -> Dict[str, Any]:
    """The service."""
    rospy.Service(args.name, Empty, lambda _: EmptyResponse())
    # The program that started this one ends it; otherwise this time limit does.
    time.sleep(args.seconds + 2 * PATIENCE)
    return {}


def call(args: argparse.Namespace) -> Dict[str, Any]:
    """The caller of the service."""
    try:
        rospy.wait_for_service(args.name, PATIENCE)
    except rospy.ROSException:
        return {'error': 'there was no service {} within {:.0f} s'.format(args.name, PATIENCE)}
    trips: List[float] = []
    failed = 0
    # Persistent: the time covers only the round trip, without a new connection and a request to the master.
    proxy = rospy.ServiceProxy(args.name, Empty, persistent=True)
    for number in range(args.omit + args.calls):
        start = time.monotonic()
        try:
            proxy()
        except (rospy.ServiceException, OSError):
            failed += 1
            proxy = rospy.ServiceProxy(args.name, Empty, persistent=True)
        else:
            if number >= args.omit:
                trips.append(round(1000 * (time.monotonic() - start), 3))
    return {'rtt_ms': trips, 'failed': failed}


ENDS = {'publish': publish, 'listen': listen, 'serve': serve, 'call': call}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('end', choices=sorted(ENDS))
    parser.add_argument('name')
    parser.add_argument('--seconds', type=float, default=10.0)
    parser.add_argument('--size', type=int, default=1000)
    parser.add_argument('--rate', type=float, default=10.0)
    parser.add_argument('--calls', type=int, default=20)
    parser.add_argument('--omit', type=int, default=0, help='first messages or calls that do not count')
    args = parser.parse_args(rospy.myargv()[1:])
    rospy.init_node('ua_overlay_measure', anonymous=True, disable_signals=True)
    print(json.dumps(ENDS[args.end](args)), flush=True)


if __name__ == '__main__':
    main()
