#!/usr/bin/python3
"""Measures the figures: `make bench`. What they mean and how to read them: bench/README.md."""
import argparse
import importlib
import json
import os
import sys

from figure import as_dict, render

from ua_overlay.cli.shared.progress import Progress
from ua_overlay.errors import OverlayError

FIGURES = {'join': 'join_time', 'links': 'link_latency', 'cost': 'node_cost', 'start': 'start_time',
           'team': 'team_moves', 'pair': 'team_pair', 'touch': 'one_touch',
           'failover': 'relay_failover', 'gaps': 'topic_gap',
           'losses': 'link_cost'}


def main():
    parser = argparse.ArgumentParser(
        prog='bench/run.py', formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Measures figures in a lab on this machine (root). Tables on stdout, progress on stderr.',
        epilog='figures:\n  join   a first join against a bare `tailscale up`             (4 min)\n'
               '  links  a change of a link until the message about it arrives   (6 min)\n'
               '  cost   CPU and memory of the overlay node                      (8 min)\n'
               '  start  time of the commands until they have ended              (1 min)\n'
               '  team   six robots: join, move of the master, new roscore, shells (10 min)\n'
               '  pair   the same with two robots                                 (5 min)\n'
               '  touch  ansible/site.yml on machines with nothing, and again     (8 min)\n'
               '  failover  a relay dies, Headscale starts again: what 10 Hz loses (12 min)\n'
               '  gaps   certificate renewed, server restarted: what a topic sees (20 min)\n'
               '  losses  TCP, UDP and round trips of each link type             (11 min)\n\n'
               'examples:\n  make bench\n  make bench ARGS="--only join --json" > join.json')
    parser.add_argument('--only', action='append', choices=sorted(FIGURES), metavar='NAME',
                        help='this figure alone; may be given again')
    parser.add_argument('--json', action='store_true', help='every value, for programs')
    args = parser.parse_args()
    figures = []
    try:
        for name in args.only or FIGURES:
            figure = importlib.import_module(FIGURES[name]).measure(Progress())
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
