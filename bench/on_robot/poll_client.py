"""On a robot: the obvious script, which runs `tailscale status --json` once a second and reads the peers.

usage: poll_client.py TAILSCALE
"""
import json
import os
import subprocess
import sys
import time

print(json.dumps({'pid': os.getpid()}), flush=True)
while True:
    began = time.monotonic()
    raw = json.loads(subprocess.run([sys.argv[1], 'status', '--json'], stdout=subprocess.PIPE, check=True).stdout)
    paths = {peer['DNSName']: (peer['CurAddr'], peer['PeerRelay'], peer['Active']) for peer in raw['Peer'].values()}
    time.sleep(max(0.0, began + 1.0 - time.monotonic()))
