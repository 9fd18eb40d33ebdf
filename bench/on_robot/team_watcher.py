"""On a robot, resident: report the log of the team's node and the topics of the overlay node, and answer requests, in
lines of JSON with the monotonic time, which all hosts of the lab share.

Requests, a JSON object a line: {"join": path} or {"leave": true} (services of the local graph; the time is that of the
answer), {"kill": word} (SIGKILL to the processes with that word in their command line; the time is that of the kill),
{"master": uri, "not": run_id} (ask that master at 20 Hz until it answers with another /run_id).
"""
import json
import os
import signal
import sys
import threading
import time
import xmlrpc.client

import rospy

from ua_overlay import msg, srv

EVENTS = os.path.expanduser('~/bench-events')
#: Seconds between two polls. It affects no number: the node itself logs the time of an event.
POLL = 0.05


def say(**values):
    os.write(1, (json.dumps(values) + '\n').encode())


def follow():
    """Report the log of the team's node."""
    open(EVENTS, 'ab').close()
    with open(EVENTS, 'rb') as stream:
        stream.seek(0, os.SEEK_END)
        rest = b''
        while True:
            rest += stream.read()
            *lines, rest = rest.split(b'\n')
            for line in lines:
                os.write(1, line + b'\n')
            time.sleep(POLL)


def hear_environment(message):
    say(event='environment', time=time.monotonic(), state=message.state, master=message.master_uri,
        alive=message.master_alive)


def hear_runner(message):
    say(event='runner', time=time.monotonic(), state=message.state, master=message.master_uri)


def kill(word):
    killed = []
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/{}/cmdline'.format(name), 'rb') as stream:
                command = stream.read().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            continue
        if word in command:
            killed.append(int(name))
    now = time.monotonic()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    say(answer='kill', time=now, pids=killed)


def wait_master(uri, before):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            code, _text, value = xmlrpc.client.ServerProxy(uri).getParam('/bench', '/run_id')
            if code == 1 and value != before:
                say(answer='master', time=time.monotonic(), run_id=value)
                return
        except (OSError, xmlrpc.client.Error):
            pass  # nobody listens yet
        time.sleep(POLL)
    say(answer='master', time=None, run_id='')


def call(service, kind, **request):
    answer = rospy.ServiceProxy('/ua_overlay/' + service, kind)(**request)
    say(answer=service, time=time.monotonic(), ok=answer.code == answer.OK, text=answer.message)


rospy.init_node('bench_watch', disable_signals=True)
subscribers = [rospy.Subscriber('/ua_overlay/ros_environment', msg.RosEnvironment, hear_environment, tcp_nodelay=True),
               rospy.Subscriber('/ua_overlay/team_runner', msg.TeamRunner, hear_runner, tcp_nodelay=True)]
threading.Thread(target=follow, daemon=True).start()
say(answer='ready')
for line in sys.stdin:
    request = json.loads(line)
    if 'join' in request:
        call('join', srv.Join, invitation=request['join'])
    elif 'leave' in request:
        call('leave', srv.Leave, forget=False)
    elif 'kill' in request:
        kill(request['kill'])
    else:
        wait_master(request['master'], request['not'])
