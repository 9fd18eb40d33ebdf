"""On a robot: print a JSON object for each message about links, with the monotonic time of arrival."""
import json
import os
import time

import rospy

from ua_overlay import link_types, msg

TYPES = {getattr(msg.Link, name): name for name in link_types.ORDER}
PATHS = {}


def say(topic, now, peer, path):
    # In a single call: each topic has its own thread, and print() writes the end of a line separately.
    os.write(1, (json.dumps({'topic': topic, 'time': now, 'peer': peer, 'path': path}) + '\n').encode())


def take_event(event):
    say('link_events', time.monotonic(), event.peer, (TYPES[event.to_type], event.endpoint, event.relay))


def take_links(links):
    now = time.monotonic()
    for link in links.links:
        path = (TYPES[link.type], link.endpoint, link.relay)
        if PATHS.get(link.peer) != path:
            PATHS[link.peer] = path
            say('links', now, link.peer, path)


rospy.init_node('bench_topics', disable_signals=True)
subscribers = [rospy.Subscriber('/ua_overlay/link_events', msg.LinkEvent, take_event, tcp_nodelay=True),
               rospy.Subscriber('/ua_overlay/links', msg.LinkArray, take_links, tcp_nodelay=True)]
rospy.spin()
