"""`ua-overlay policy`: who may talk to whom."""
import argparse
import json
import sys

from ua_overlay.cli.shared.args import WARNED, add_dir, explained, load_site_and_problem, load_site_file, make_admin
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import policy
from ua_overlay.headscale.evaluator import expectations
from ua_overlay.headscale.rules import EVERYTHING, ROS
from ua_overlay.site.policy_applier import PolicyError, check, in_force

EXAMPLE = '''\
in site.yaml:
  teams:
    iris: {inside: [ros, ssh, ping, 8765]}
    blue: {}
  talk:
    - {from: blue, to: iris, what: [ros, ping]}      # blue uses iris's roscore; iris does not use blue's
  users:
    ana: {teams: [iris, blue]}

examples:
  ua-overlay policy check
  ua-overlay policy apply
  ua-overlay policy show --json'''


def add_parser(subparsers):
    parser = subparsers.add_parser(
        'policy', help='who may talk to whom: check, show, apply (on the server)',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='The rules are in site.yaml: robots of one team reach each other, and whatever else is open is a\n'
                    'rule of "talk" or "users". Headscale\'s policy is made of them, tested, and put in force at\n'
                    'your word; a bad edit leaves the one before in force.',
        epilog=EXAMPLE)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)

    checking = commands.add_parser(
        'check', help='would site.yaml make a good policy? Changes nothing',
        description='Reads site.yaml, compares what its rules mean with what the policy made of them opens, and has a '
                    'running server test it against its nodes. Exit status 0 when all of it is right.')
    add_dir(checking)
    checking.set_defaults(run=run_check)

    showing = commands.add_parser('show', help='the rules, and whether they are in force',
                                  description='The rules of site.yaml, and whether they are what the server enforces. '
                                              'Exit status 4 when site.yaml makes no sense: then those of before are '
                                              'shown, which hold.')
    form = showing.add_mutually_exclusive_group()
    form.add_argument('--json', action='store_true', help='for programs')
    form.add_argument('--headscale', action='store_true', help='the policy as Headscale gets it')
    add_dir(showing)
    showing.set_defaults(run=run_show)

    applying = commands.add_parser(
        'apply', help='put the rules of site.yaml in force',
        description='Checks as `policy check`, has the running server take the new rules, and asks it whether it has. '
                    'Machines that may not talk any more lose each other within seconds; where something stays open '
                    'between two, TCP connections that are up stay up until they end.')
    add_dir(applying)
    applying.set_defaults(run=run_apply)


def run_check(args):
    site = load_site_file(args)
    client = _client(site)
    made = check(site, client)
    print('{} is right: {} rule(s) of {} team(s) and {} user(s), {} expectations hold.'.format(
        site.path('site.yaml'), len(rows(site.rules)), len(site.teams), len(site.rules.users),
        len(expectations(site.rules))))
    if client is None:
        print('The server is not running, so Headscale was not asked. Next: {}'.format(site.command('server run')))
    else:
        tested = sum(len(test.get('accept', ())) + len(test.get('deny', ())) for test in made.get('tests', ()))
        print('Headscale takes it, and has tested {} of them on the nodes that it has.'.format(tested))
        if in_force(client, made) is False:
            print('It is not in force yet. Next: {}'.format(site.command('policy apply')))
    return 0


def run_show(args):
    site, problem = load_site_and_problem(args)
    if problem is not None:
        problem = explained(problem)
        print('ua-overlay: {}'.format(problem), file=sys.stderr)
    status = 0 if problem is None else WARNED
    if args.headscale:
        with open(site.policy_file, encoding='utf-8') as stream:
            print(stream.read(), end='')
        return status
    client = _client(site)
    state = None if client is None else in_force(client, policy.make_policy(site.rules))
    found = rows(site.rules)
    if args.json:
        print(json.dumps({'in_force': state, 'rules': found,
                          'site_file': '' if problem is None else problem.sentence}, indent=2))
        return status
    if found:
        print(format_table(('FROM', 'TO', 'MAY OPEN'), [
            (row['from'], row['to'], ', '.join(row['opens'])) for row in found]))
    else:
        print('Nothing may talk to anything: there are no teams. Next: {}'.format(site.command('team create NAME')))
    if state:
        print('These rules are in force.')
    elif client is None:
        print('The server is not running. Next: {}'.format(site.command('server run')))
    elif state is None:
        print('Whether they are in force cannot be seen until the first machine has joined.')
    else:
        print('These rules are not in force: site.yaml was edited. Next: {}'.format(site.command('policy apply')))
    return status


def run_apply(args):
    site = load_site_file(args)
    admin = make_admin(site)
    if not admin.server_running():
        check(site, None)
        print('The rules are right; the server is not running and takes them when it starts. Next: {}'.format(
            site.command('server run')))
        return 0
    try:
        changed = admin.apply_policy()
    except OverlayError as error:
        raise PolicyError('The policy in force stays as it was: {}'.format(error.sentence), error.next_command)
    print('The rules of {} are in force{}.'.format(
        site.path('site.yaml'), '' if changed else ' already; nothing was changed'))
    return 0


def rows(rules):
    """What the rules open, for people and programs: a list of dicts `from`, `to`, `opens` (list of str)."""
    found = []
    for name in sorted(rules.teams):
        team = rules.teams[name]
        found.append({'from': name, 'to': name, 'opens': _words(rules, team.inside, team.port)})
    for rule in rules.talk:
        found += _pair(rules, rule.source, rule.target, rule.what, rules.teams[rule.target].port)
    for name in sorted(rules.users):
        for team in rules.users[name].teams:
            found += _pair(rules, name + '@', team, rules.users[name].what, rules.teams[team].port)
    return found


def _pair(rules, source, target, ports, port):
    there = [{'from': source, 'to': target, 'opens': _words(rules, ports, port)}] if ports else []
    if ROS in ports:
        there.append({'from': target, 'to': source, 'opens': ['ros nodes ({}-{})'.format(*rules.ephemeral)]})
    return there


def _words(rules, ports, port):
    if EVERYTHING in ports:
        return [EVERYTHING]
    return ['ros ({}, {}-{})'.format(port, *rules.ephemeral) if word == ROS else
            'tcp {}'.format(word) if isinstance(word, int) else word for word in ports]


def _client(site):
    """A RestClient of the running server, None when it is not running."""
    admin = make_admin(site)
    return admin.client() if admin.server_running() else None
