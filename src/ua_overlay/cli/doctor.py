"""`ua-overlay doctor`: the problems of this robot, their reasons, and the next commands."""
import argparse
import json
import os
from dataclasses import asdict
from typing import Sequence

from ua_overlay.checks.finding import ERROR, OK, UNKNOWN, WARN, Finding
from ua_overlay.checks.observe.observer import EVERYTHING, Observer
from ua_overlay.checks.table import CHECKS, IDS, run_checks
from ua_overlay.cli.shared.args import add_ca, add_socket, add_state_dir
from ua_overlay.cli.shared.exit_status import ATTENTION, DONE, FAILED
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.membership.settings import read_settings
from ua_overlay.tailscale import map_stamp
from ua_overlay.tailscale.localapi import LocalApi

#: Exit status of the worst level.
STATUS = {OK: DONE, UNKNOWN: DONE, WARN: ATTENTION, ERROR: FAILED}
SHOWN = {OK: 'ok', UNKNOWN: 'unknown', WARN: 'WARNING', ERROR: 'ERROR'}

DESCRIPTION = """\
Check this robot, its server, the names, the team graph and the links. Needs no ROS.

All checks run from this robot; a check that cannot see enough from here says "unknown". Doctor connects to the robots
of the team (to the team port and one other port each), and registers a topic with the team master for a moment to test
whether the master can call back. It ends within 10 s, whatever does not answer. docs/checks.md explains
every check."""

EPILOG = """\
exit status:
  0  no problem found
  1  at least one error
  4  works, but needs attention (warnings only)

examples:
  ua-overlay doctor
  sudo ua-overlay doctor          # also checks the ROS processes of other users
  ua-overlay doctor --json | python3 -m json.tool"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    add_socket(parser)
    add_ca(parser)
    add_state_dir(parser)
    parser.add_json()
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    observer = Observer(LocalApi(args.socket, timeout=2.0), read_settings(args.state_dir), args.ca, os.environ,
                        stamp=map_stamp.read(args.state_dir))
    with Progress()('Checking this robot and its team'):
        findings = run_checks(observer.observe(EVERYTHING))
    if args.json:
        print(json.dumps({'findings': [asdict(finding) for finding in findings],
                          'not_checked': sorted(set(IDS) - {finding.id for finding in findings})}, indent=2))
    else:
        print(report(findings))
    levels = {finding.level for finding in findings}
    return STATUS[ERROR if ERROR in levels else WARN if WARN in levels else OK]


def report(findings: Sequence[Finding]) -> str:
    """The findings as text: one line each; problems also have their reason and the next command."""
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
    problems = ', '.join('{} {}{}'.format(count, word, '' if count == 1 else 's') for count, word in counts if count)
    hidden = [finding.id for finding in findings if finding.level == UNKNOWN]
    lines += ['', (problems or 'No problem found') + (
        '; not visible from here: ' + ', '.join(hidden) if hidden else '') + '.']
    return '\n'.join(lines)
