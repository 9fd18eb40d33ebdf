#!/usr/bin/python3
"""Measure the figures: `make bench`. bench/README.md explains them."""
import argparse
import importlib
import json
import os
import sys

from figure import as_dict, render

from ua_overlay.cli.shared.progress import Progress
from ua_overlay.errors import OverlayError

#: Name -> (module, description, minutes).
FIGURES = {
    'join': ('join_time', 'a first join, against a bare `tailscale up`', 4),
    'links': ('link_latency', 'a change of a link, until the message about it arrives', 6),
    'cost': ('node_cost', 'CPU and memory of the overlay node', 8),
    'start': ('start_time', 'whole commands, from start to end', 1),
    'team': ('team_moves', 'six robots: join, a move of the master, a new roscore, shells', 10),
    'pair': ('team_pair', 'the same with two robots', 5),
    'touch': ('one_touch', 'ansible/site.yml on empty machines, and again', 8),
    'failover': ('relay_failover', 'a ping at 10 Hz while a relay dies or Headscale restarts', 12),
    'gaps': ('topic_gap', 'a topic while the certificate is renewed or the server restarts', 20),
    'heal': ('link_healing', 'a link whose path dies, with and without the path keeper', 75),
    'losses': ('link_cost', 'TCP, UDP and round trips of each link type', 11)}


def main():
    parser = argparse.ArgumentParser(
        prog='bench/run.py', formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Measure figures in a lab on this machine (needs root). Tables go to stdout, progress to stderr.',
        epilog='figures:\n' + ''.join('  {:<9} {} ({} min)\n'.format(name, what, minutes)
                                      for name, (_module, what, minutes) in FIGURES.items()) +
               '\nexamples:\n  make bench\n  make bench ARGS="--only join --json" > join.json')
    parser.add_argument('--only', action='append', choices=sorted(FIGURES), metavar='NAME',
                        help='measure only this figure; repeatable')
    parser.add_argument('--json', action='store_true', help='print JSON, with every value')
    args = parser.parse_args()
    figures = []
    try:
        for name in args.only or FIGURES:
            figure = importlib.import_module(FIGURES[name][0]).measure(Progress())
            figures.append(figure)
            if not args.json:
                print('\n' + render(figure), flush=True)
    except OverlayError as error:
        print('bench: {}'.format(error), file=sys.stderr)
        return error.exit_status
    if args.json:
        machine = os.uname()
        json.dump({'machine': {'cores': os.cpu_count(), 'kernel': machine.release.split('-')[0],
                               'load': os.getloadavg()},
                   'figures': [as_dict(figure) for figure in figures]}, sys.stdout, indent=2)
        print()
    return 0


if __name__ == '__main__':
    sys.exit(main())
