"""On a robot: time the requested actions from inside, so that the numbers exclude the entry into the lab's host.

Requests, a JSON object a line: {"run": argv} or {"join": path of an invitation}, with "online": true for a join.
Answers: {"seconds", "ok", "text", "online"}; `online`: seconds from the end until the status shows what `join` waits
for (Running, Online, a tag).
"""
import json
import subprocess
import sys
import time

import rospy

from ua_overlay import srv
from ua_overlay.membership.identity import joined
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import parse_status


def run(argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    return done.returncode == 0, done.stdout[-300:]


def call_join(proxy, path):
    answer = proxy(invitation=path)
    return answer.code == answer.OK, answer.message


def wait_joined(api):
    began = time.monotonic()
    while time.monotonic() - began < 30:
        status = parse_status(api.status(peers=False))
        own = status.self_node
        if joined(status.state, own.online, own.tags, ''):
            return time.monotonic() - began
        time.sleep(0.005)
    return None


def main():
    rospy.init_node('bench_timer', disable_signals=True)
    proxy = rospy.ServiceProxy('/ua_overlay/join', srv.Join)
    api = LocalApi()
    for line in sys.stdin:
        request = json.loads(line)
        began = time.monotonic()
        ok, text = call_join(proxy, request['join']) if 'join' in request else run(request['run'])
        seconds = time.monotonic() - began
        online = wait_joined(api) if request.get('online') else None
        print(json.dumps({'seconds': seconds, 'ok': ok, 'text': text, 'online': online}), flush=True)


main()
