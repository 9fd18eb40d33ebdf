"""On the server, resident: `ua-overlay team master TEAM ROBOT` without the start of Python in the numbers.

usage: move_master.py SITE TEAM. Takes lines {"robot": name}; answers with the monotonic time before the first and after
the last request to the server.
"""
import argparse
import json
import sys
import time

from ua_overlay.cli.shared.site import load_site, make_admin

site = load_site(argparse.Namespace(dir=sys.argv[1]))
print(json.dumps({'answer': 'ready'}), flush=True)
for line in sys.stdin:
    began = time.monotonic()
    make_admin(site).move_master(sys.argv[2], json.loads(line)['robot'])
    print(json.dumps({'answer': 'moved', 'began': began, 'time': time.monotonic()}), flush=True)
