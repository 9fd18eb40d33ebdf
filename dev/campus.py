#!/usr/bin/python3
"""The campus as a lab, a short campaign on it, and its report: `make campus`. RESULTS=DIR says where that goes."""
import argparse
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'src'))

from ua_overlay.cli.progress import Progress  # noqa: E402
from ua_overlay.errors import OverlayError  # noqa: E402
from ua_overlay.lab import team as teams  # noqa: E402
from ua_overlay.lab.fleet import Fleet  # noqa: E402
from ua_overlay.lab.lab import Lab, load_topology  # noqa: E402

COMMAND = os.path.join(ROOT, 'scripts', 'ua-overlay')


def arguments(argv):
    parser = argparse.ArgumentParser(description='Run a campaign in a lab of its own, and make the report.')
    parser.add_argument('--topology', default=os.path.join(ROOT, 'config', 'lab', 'campus.yaml'))
    parser.add_argument('--campaign', default=os.path.join(ROOT, 'config', 'campaigns', 'campus.yaml'))
    parser.add_argument('--results', default=os.path.join('results', 'campus'))
    parser.add_argument('--name', default='campus', help='of the lab (default: %(default)s)')
    parser.add_argument('--keep', action='store_true', help='leave the lab up')
    return parser.parse_args(argv)


def own(*argv):
    """Run ua-overlay with what the person sees; returns its exit status."""
    return subprocess.run([sys.executable, COMMAND] + list(argv)).returncode


def main(argv):
    args = arguments(argv)
    progress = Progress()
    with progress('A lab of {}'.format(os.path.basename(args.topology))):
        lab = Lab.up(load_topology(args.topology), args.name, bound=not args.keep)
    try:
        robots = teams.chosen(lab.topology, None)
        teams.bring_up(teams.Team(Fleet(lab, None, COMMAND), 'iris'), robots, progress)
        status = own('measure', 'run', args.campaign, '--lab', args.name, '--results', args.results)
    finally:
        if not args.keep:
            lab.down()
    return own('measure', 'report', args.results) or status


if __name__ == '__main__':
    try:
        sys.exit(main(sys.argv[1:]))
    except OverlayError as error:
        print('{}'.format(error), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
