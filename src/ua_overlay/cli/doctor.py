"""`ua-overlay doctor`: what is wrong with this robot's overlay and ROS environment, why, and what to type next."""
import argparse
import json
import os
from dataclasses import asdict

from ua_overlay import defaults
from ua_overlay.checks.finding import ERROR, OK, UNKNOWN, WARN
from ua_overlay.checks.observe import EVERYTHING, Observer, preferences_of
from ua_overlay.checks.table import CHECKS, IDS, run_checks
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.membership.settings import read_settings
from ua_overlay.tailscale.localapi import LocalApi

#: Exit status of the worst level.
STATUS = {OK: 0, UNKNOWN: 0, WARN: 4, ERROR: 1}
SHOWN = {OK: 'ok', UNKNOWN: 'unknown', WARN: 'WARNING', ERROR: 'ERROR'}

EPILOG = """\
It looks from this robot only; what it cannot see it calls unknown. It connects to the robots of the team (the team port
and one other port each) and registers a topic of its own with the team's master for a moment, to see whether the master
can call back. Takes up to half a minute when packets are dropped. docs/checks.md explains every id.

exit status: 0 nothing found; 1 at least one error; 4 warnings only

examples:
  ua-overlay doctor
  sudo ua-overlay doctor          # sees other users' ROS processes too
  ua-overlay doctor --json | python3 -m json.tool"""


def add_parser(subparsers):
    parser = subparsers.add_parser(
        'doctor', help='what is wrong, why, and what to type next',
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EPILOG,
        description='Check this robot, its server, the names, the team graph and the links. Needs no ROS.')
    parser.add_argument('--socket', default=defaults.DAEMON_SOCKET, help='of tailscaled (default: %(default)s)')
    parser.add_argument('--ca', default=defaults.CA_FILE, help="the site's CA (default: %(default)s)")
    parser.add_argument('--state-dir', default=defaults.STATE_DIR, help='default: %(default)s')
    parser.add_argument('--json', action='store_true', help='for programs')
    parser.set_defaults(run=run)


def run(args):
    preferences = preferences_of(read_settings(args.state_dir))
    observer = Observer(LocalApi(args.socket, timeout=2.0), preferences, args.ca, os.environ)
    with Progress()('Looking at this robot and its team'):
        findings = run_checks(observer.observe(EVERYTHING))
    if args.json:
        print(json.dumps({'findings': [asdict(finding) for finding in findings],
                          'not_looked_at': sorted(set(IDS) - {finding.id for finding in findings})}, indent=2))
    else:
        print(report(findings))
    levels = {finding.level for finding in findings}
    return STATUS[ERROR if ERROR in levels else WARN if WARN in levels else OK]


def report(findings):
    """The findings as text: a line each, and for what is not fine the reason and the next command below it."""
    width = max(len(check.id) for check in CHECKS)
    indent = ' ' * (max(map(len, SHOWN.values())) + 2 + width + 2)
    lines = []
    for finding in findings:
        lines.append('{}  {}  {}'.format(SHOWN[finding.level].ljust(7), finding.id.ljust(width), finding.what))
        if finding.level != OK:
            lines += [indent + head + text for head, text in (('why:  ', finding.why), ('next: ', finding.next_command))
                      if text]
    counts = [(sum(finding.level == level for finding in findings), word) for level, word in (
        (ERROR, 'error'), (WARN, 'warning'))]
    found = ', '.join('{} {}{}'.format(count, word, '' if count == 1 else 's') for count, word in counts if count)
    hidden = [finding.id for finding in findings if finding.level == UNKNOWN]
    lines += ['', (found or 'Nothing found') + ('; not seen from here: ' + ', '.join(hidden) if hidden else '') + '.']
    return '\n'.join(lines)
