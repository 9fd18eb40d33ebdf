#!/usr/bin/python3
"""Measure the figures: `make bench`. bench/README.md explains them."""
import argparse
import importlib
import inspect
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
    'heal': ('link_healing', 'a link whose path dies, with and without the path keeper', 210),
    'reboot': ('team_reboot', 'a team that reboots while its server is dead', 150),
    'losses': ('link_cost', 'TCP, UDP and round trips of each link type', 11)}


def names(text):
    """The ``type`` of --only."""
    chosen = text.split(',')
    for name in chosen:
        if name not in FIGURES:
            raise argparse.ArgumentTypeError('{} is no figure; there are {}.'.format(name, ', '.join(FIGURES)))
    return chosen


def main():
    parser = argparse.ArgumentParser(
        prog='bench/run.py', formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Measure figures in a lab on this machine (needs root). Tables go to stdout, progress to stderr.',
        epilog='figures:\n' + ''.join('  {:<9} {} ({} min)\n'.format(name, what, minutes)
                                      for name, (_module, what, minutes) in FIGURES.items()) +
               '\nexamples:\n  make bench\n  make bench ARGS="--only join --json" > join.json\n'
               '  make bench ARGS="--only heal,reboot --rounds 3"')
    parser.add_argument('--only', action='append', type=names, metavar='NAME[,NAME]',
                        help='measure only these figures; repeatable')
    parser.add_argument('--rounds', type=int, metavar='N',
                        help='repeat each measurement so often, in figures that count rounds (3 for a try; default: as '
                             'the figure does)')
    parser.add_argument('--json', action='store_true', help='print JSON, with every value')
    args = parser.parse_args()
    figures = []
    try:
        for name in [each for group in args.only for each in group] if args.only else FIGURES:
            measure = importlib.import_module(FIGURES[name][0]).measure
            counted = args.rounds and 'rounds' in inspect.signature(measure).parameters
            figure = measure(Progress(), **({'rounds': args.rounds} if counted else {}))
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
