#!/usr/bin/python3
"""Run a short campaign and the proof of encryption on the campus in a lab, and write the report: `make campus`.

RESULTS=DIR sets the directory of the results; ARGS selects another topology and campaign (docs/results/README.md).
"""
import argparse
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'src'))

from ua_overlay.cli.shared.progress import Progress  # noqa: E402
from ua_overlay.errors import OverlayError  # noqa: E402
from ua_overlay.lab import team as teams  # noqa: E402
from ua_overlay.lab.fleet import Fleet  # noqa: E402
from ua_overlay.lab.lab import Lab, load_topology  # noqa: E402
from ua_overlay.lab.topology import from_mapping  # noqa: E402
from ua_overlay.measure.campaign import campaign as campaigns  # noqa: E402
from ua_overlay.measure.campaign import plan, run, store  # noqa: E402

WORKSPACE = os.path.join(os.path.realpath(os.path.join(ROOT, '.workspace')), 'install')
COMMAND = os.path.join(ROOT, 'scripts', 'ua-overlay')


def arguments(argv):
    parser = argparse.ArgumentParser(description='Run a campaign in a new lab and write its report.')
    parser.add_argument('--topology', default=os.path.join(ROOT, 'config', 'lab', 'campus.yaml'))
    parser.add_argument('--campaign', default=os.path.join(ROOT, 'config', 'campaigns', 'campus.yaml'))
    parser.add_argument('--results', default=os.path.join('results', 'campus'))
    parser.add_argument('--name', default='campus', help='name of the lab (default: %(default)s)')
    parser.add_argument('--repetitions', type=int, metavar='N', help='override the repetitions of the campaign')
    parser.add_argument('--seconds', type=float, metavar='S', help='override the seconds of every tool that '
                        'has them')
    parser.add_argument('--master', default='', help='make this robot the team master')
    parser.add_argument('--launch', action='store_true', help='run overlay.launch on every robot, for the ROS tools')
    parser.add_argument('--congestion', metavar='NAME', help='override the congestion control of all hosts')
    parser.add_argument('--daemon-env', action='append', default=[], metavar='NAME=VALUE',
                        help='set a variable for the tailscaled of every robot')
    parser.add_argument('--no-encryption', action='store_true', help='skip the proof of encryption')
    parser.add_argument('--keep', action='store_true', help='leave the lab up')
    return parser.parse_args(argv)


def own(*argv):
    """Run ua-overlay on this terminal; returns its exit status."""
    return subprocess.run([sys.executable, COMMAND] + list(argv)).returncode


def measured(args, progress):
    """Bring the lab up and take the remaining samples; returns the exit status of `measure run`."""
    with progress('A lab of {}'.format(os.path.basename(args.topology))):
        topology = load_topology(args.topology)
        if args.congestion:
            topology = from_mapping(dict(topology.source, congestion=args.congestion))
        lab = Lab.up(topology, args.name, bound=not args.keep)
    try:
        robots = teams.chosen(lab.topology, None)
        fleet = Fleet(lab, WORKSPACE, COMMAND, daemon_environment=teams.environment_of(args.daemon_env))
        teams.bring_up(teams.Team(fleet, 'iris'), robots, progress, args.master, robots if args.launch else ())
        return own('measure', 'run', args.campaign, '--lab', args.name, '--workspace', WORKSPACE, '--results',
                   args.results, *(['--repetitions', str(args.repetitions)] if args.repetitions else []),
                   *(['--seconds', str(args.seconds)] if args.seconds else []))
    finally:
        if not args.keep:
            lab.down()


def main(argv):
    args = arguments(argv)
    campaign = campaigns.changed(campaigns.load(args.campaign), args.repetitions, args.seconds)
    # Fail before a lab takes minutes.
    run.goes_on(args.results, campaign)
    status = 0
    if plan.remaining(plan.steps(campaign), store.read(args.results)):
        status = measured(args, Progress())
    proof = os.path.join(args.results, 'encryption')
    if not args.no_encryption and not os.path.exists(proof):
        status = own('measure', 'encryption', '--output', proof) or status
    return own('measure', 'report', args.results) or status


if __name__ == '__main__':
    try:
        sys.exit(main(sys.argv[1:]))
    except OverlayError as error:
        print('{}'.format(error), file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
