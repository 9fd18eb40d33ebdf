"""On a robot: print when messages about links arrive, a JSON object each, with the monotonic time of arrival."""
import json
import os
import time

import rospy

from ua_overlay import msg

TYPES = {getattr(msg.Link, name): name for name in ('UNKNOWN', 'DIRECT', 'PEER_RELAY', 'DERP', 'IDLE', 'OFFLINE')}
KNOWN = {}


def say(topic, now, peer, path):
    # In one piece: each topic has its own thread, and print() writes the end of the line by itself.
    os.write(1, (json.dumps({'topic': topic, 'time': now, 'peer': peer, 'path': path}) + '\n').encode())


def take_event(event):
    say('link_events', time.monotonic(), event.peer, (TYPES[event.to_type], event.endpoint, event.relay))


def take_links(links):
    now = time.monotonic()
    for link in links.links:
        path = (TYPES[link.type], link.endpoint, link.relay)
        if KNOWN.get(link.peer) != path:
            KNOWN[link.peer] = path
            say('links', now, link.peer, path)


rospy.init_node('bench_topics', disable_signals=True)
subscribers = [rospy.Subscriber('/ua_overlay/link_events', msg.LinkEvent, take_event, tcp_nodelay=True),
               rospy.Subscriber('/ua_overlay/links', msg.LinkArray, take_links, tcp_nodelay=True)]
rospy.spin()
