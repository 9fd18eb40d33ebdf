"""On a robot: say when the paths to the peers change, as the status shows them when it is polled.

usage: watch_status.py local HZ               asks tailscaled itself
       watch_status.py client HZ TAILSCALE    as a script would: runs `tailscale status --json`
Prints a JSON object for each change: `time` (monotonic) at which the answer was there, `old_until` at which the last
question was asked whose answer still had the old path, the peer, its path now and before.
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
    known, asked_before = {}, time.monotonic()
    due = asked_before
    while True:
        asked = time.monotonic()
        raw = ask()
        now = time.monotonic()
        for link in links_of(parse_status(raw)):
            path = (link.type, link.endpoint, link.relay)
            if known.get(link.peer) != path:
                print(json.dumps({'time': now, 'old_until': asked_before, 'peer': link.peer, 'path': path,
                                  'before': known.get(link.peer)}), flush=True)
                known[link.peer] = path
        asked_before = asked
        due = max(due + period, now)
        time.sleep(due - now)


main()
