"""`ua-overlay policy`: the rules of a site: who may reach whom."""
import argparse
import json
import sys
from typing import Any, Dict, List, Optional, Sequence, Union

from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.exit_status import ATTENTION
from ua_overlay.cli.shared.parser import CommandParser, from_module
from ua_overlay.cli.shared.site import explained, load_site_and_problem, load_site_file, make_admin
from ua_overlay.cli.shared.table import format_table
from ua_overlay.headscale.api import HeadscaleApi
from ua_overlay.headscale.evaluator import expectations
from ua_overlay.headscale.rules import EVERYTHING, ROS, Rules
from ua_overlay.printable import printable_lines
from ua_overlay.site.enforced import in_force, read_policy
from ua_overlay.site.policy_applier import check
from ua_overlay.site.site import Site

DESCRIPTION = """\
Check, show and apply the rules of site.yaml. Robots of one team reach each other; a rule of "talk" or "users" opens
everything else. `policy apply` generates Headscale's policy from these rules, tests it and activates it; an invalid
edit changes nothing."""

EPILOG = """\
in site.yaml:
  teams:
    iris: {inside: [ros, ssh, ping, 8765]}
    blue: {}
  talk:
    # Robots of blue use the roscore of iris, but not the other way round.
    - {from: blue, to: iris, what: [ros, ping]}
  users:
    ana: {teams: [iris, blue]}

examples:
  ua-overlay policy check
  ua-overlay policy apply
  ua-overlay policy show --json"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('check', configure_check)
    parser.add_command('show', configure_show)
    parser.add_command('apply', configure_apply)
    parser.add_command('cgnat-lans', from_module('ua_overlay.cli.policy_cgnat', 'configure'))


def configure_check(parser: CommandParser) -> None:
    parser.describe('Check that the policy made from site.yaml opens what its rules allow, and nothing else. A running '
                    'server also tests it on its nodes. Changes nothing.',
                    'exit status:\n  0  the rules are right\n  1  the policy made from them is wrong\n'
                    '  2  site.yaml is invalid')
    add_dir(parser)
    parser.set_defaults(run=run_check)


def configure_show(parser: CommandParser) -> None:
    parser.describe('Show the rules of site.yaml, and whether the server enforces them.',
                    'exit status:\n  0  shown\n'
                    '  4  works, but needs attention: site.yaml is invalid, so the last good\n'
                    '     rules are in force and shown')
    form = parser.add_mutually_exclusive_group()
    form.add_argument('--json', action='store_true', help='print JSON')
    form.add_argument('--headscale', action='store_true', help='print the policy as Headscale gets it')
    add_dir(parser)
    parser.set_defaults(run=run_show)


def configure_apply(parser: CommandParser) -> None:
    parser.describe('Check as `policy check`, let the running server take the new rules, and read back that Headscale '
                    'runs them. If that fails, the previous rules are reloaded, and read back too. '
                    'Machines that may no longer talk lose each other within seconds. Where two machines may still '
                    'talk on some port, open TCP connections last until they end.')
    add_dir(parser)
    parser.set_defaults(run=run_apply)


def run_check(args: argparse.Namespace) -> int:
    site = load_site_file(args)
    client = _client(site)
    made = check(site, client)
    print('{} is right: {} rule(s) of {} team(s) and {} user(s); {} expectations hold.'.format(
        site.path('site.yaml'), len(rows(site.rules)), len(site.teams), len(site.rules.users),
        len(expectations(site.rules))))
    if client is None:
        print('The server is not running, so Headscale could not test the policy. Next: {}'.format(
            site.start_command()))
    else:
        tested = sum(len(test.get('accept', ())) + len(test.get('deny', ())) for test in made.get('tests', ()))
        print('Headscale accepts the policy and has tested {} of them on its nodes.'.format(tested))
        if in_force(client, made) is False:
            print('The policy is not in force yet. Next: {}'.format(site.command('policy apply')))
    return 0


def run_show(args: argparse.Namespace) -> int:
    site, problem = load_site_and_problem(args)
    if problem is not None:
        problem = explained(problem)
        print('ua-overlay: {}'.format(problem), file=sys.stderr)
    status = 0 if problem is None else ATTENTION
    if args.headscale:
        print(printable_lines(read_policy(site.policy_file)), end='')
        return status
    admin = make_admin(site)
    shown = admin.enforced() if admin.server_running() else None
    rules = rows(site.rules)
    if args.json:
        print(json.dumps({'in_force': None if shown is None else shown.state, 'rules': rules,
                          'site_file': '' if problem is None else problem.sentence}, indent=2))
        return status
    if rules:
        print(format_table(('FROM', 'TO', 'MAY OPEN'), [
            (row['from'], row['to'], ', '.join(row['opens'])) for row in rules]))
    else:
        print('No machine may reach another: there are no teams. Next: {}'.format(site.command('team create NAME')))
    if shown is None:
        print('The server is not running. Next: {}'.format(site.start_command()))
    else:
        print('{}{}'.format(shown.sentence, ' Next: ' + shown.next_command if shown.next_command else ''))
    return status


def run_apply(args: argparse.Namespace) -> int:
    site = load_site_file(args)
    admin = make_admin(site)
    if not admin.server_running():
        check(site, None)
        print('The rules are right; the server is not running and reads them when it starts. Next: {}'.format(
            site.start_command()))
        return 0
    changed = admin.apply_policy()
    print('The rules of {} are in force{}.'.format(
        site.path('site.yaml'), '' if changed else ' already; nothing changed'))
    return 0


def rows(rules: Rules) -> List[Dict[str, Any]]:
    """The access that the rules grant: a list of dicts `from`, `to`, `opens` (list of str)."""
    opened = []
    for name in sorted(rules.teams):
        team = rules.teams[name]
        opened.append({'from': name, 'to': name, 'opens': _words(rules, team.inside, team.port)})
    for rule in rules.talk:
        opened += _pair(rules, rule.source, rule.target, rule.what, rules.teams[rule.target].port)
    for name in sorted(rules.users):
        for target in rules.users[name].teams:
            opened += _pair(rules, name + '@', target, rules.users[name].what, rules.teams[target].port)
    return opened


def _pair(rules: Rules, source: str, target: str, ports: Sequence[Union[str, int]], port: int) -> List[Dict[str, Any]]:
    there = [{'from': source, 'to': target, 'opens': _words(rules, ports, port)}] if ports else []
    if ROS in ports:
        there.append({'from': target, 'to': source, 'opens': ['ros nodes ({}-{})'.format(*rules.ephemeral)]})
    return there


def _words(rules: Rules, ports: Sequence[Union[str, int]], port: int) -> List[str]:
    if EVERYTHING in ports:
        return [EVERYTHING]
    return ['ros ({}, {}-{})'.format(port, *rules.ephemeral) if word == ROS else
            'tcp {}'.format(word) if isinstance(word, int) else word for word in ports]


def _client(site: Site) -> Optional[HeadscaleApi]:
    """A client of the running server, None when it is not running."""
    admin = make_admin(site)
    return admin.client() if admin.server_running() else None
