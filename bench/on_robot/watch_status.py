"""On a robot: poll the status and print each change of a peer's path.

usage: watch_status.py local HZ               ask tailscaled itself
       watch_status.py client HZ TAILSCALE    run `tailscale status --json`, as a script would
Prints a JSON object for each change: `time` (monotonic) of the answer, `old_until`: time of the last question whose
answer had the old path, the peer, its path now and before.
"""
import json
import subprocess
import sys
import time

from ua_overlay.tailscale.links import links_of
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import parse_status

API = LocalApi()


def ask_client():
    done = subprocess.run([sys.argv[3], 'status', '--json'], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main():
    ask = API.status if sys.argv[1] == 'local' else ask_client
    period = 1.0 / float(sys.argv[2])
    paths, asked_before = {}, time.monotonic()
    due = asked_before
    while True:
        asked = time.monotonic()
        raw = ask()
        now = time.monotonic()
        for link in links_of(parse_status(raw)):
            path = (link.type, link.endpoint, link.relay)
            if paths.get(link.peer) != path:
                print(json.dumps({'time': now, 'old_until': asked_before, 'peer': link.peer, 'path': path,
                                  'before': paths.get(link.peer)}), flush=True)
                paths[link.peer] = path
        asked_before = asked
        due = max(due + period, now)
        time.sleep(due - now)


main()
