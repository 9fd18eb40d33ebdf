"""`ua-overlay status`: what this robot is in the overlay, its peers and its links."""
import argparse
import json
from dataclasses import asdict

from ua_overlay import defaults, link_types
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import envfile
from ua_overlay.tags import belonging, describe_belonging, team_of
from ua_overlay.tailscale.links import links_of
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import parse_status

#: Seconds for which the server is asked whether it still knows this robot.
SERVER_PATIENCE = 1.0


def add_parser(subparsers):
    parser = subparsers.add_parser(
        'status', help='this robot, its peers and links',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='What this robot is in the overlay, its peers and the links to them. Needs no ROS master.',
        epilog='link types:\n' + ''.join('  {:12}{}\n'.format(*item) for item in link_types.MEANING.items())
               + '\nexit status: 0 running; 1 no tailscaled; 3 in no team, or left\n\n'
               'example:\n  ua-overlay status --json')
    parser.add_argument('--socket', default=defaults.DAEMON_SOCKET, help='of tailscaled (default: %(default)s)')
    parser.add_argument('--state-dir', default=defaults.STATE_DIR,
                        help='where the settings of the invitation are kept (default: %(default)s)')
    parser.add_argument('--ca', default=defaults.CA_FILE, help="the site's CA (default: %(default)s)")
    parser.add_argument('--json', action='store_true', help='for programs')
    parser.set_defaults(run=run)


def environment():
    """The variables of the env file, and what is wrong with it as a sentence."""
    try:
        return envfile.read(envfile.locate()), ''
    except OverlayError as error:
        return {}, error.sentence


def left_behind(api, state_dir):
    """Nodes that were started for a master that is not the team's any more, as sentences: they follow no move."""
    from ua_overlay.checks.graph import old_master
    from ua_overlay.checks.observe import Observer, preferences_of
    from ua_overlay.membership.settings import read_settings
    # Nothing of the network but the resolver: this command answers in any state of the team.
    facts = Observer(api, preferences_of(read_settings(state_dir)), patience=1.0).observe(frozenset())
    found = old_master(facts)
    return ['{} Next: {}'.format(verdict.what, verdict.next_command) for verdict in found] \
        if isinstance(found, list) else []


def removed(api, status, ca_file):
    """Whether the server does not know this robot any more, as a sentence; '' when it does or cannot be asked now."""
    from ua_overlay.checks.facts import Facts
    from ua_overlay.checks.observe import key_in_use, probe_server
    from ua_overlay.checks.server import registered
    if not key_in_use(status):
        return ''
    try:
        url = api.prefs().get('ControlURL') or ''
    except OverlayError:
        return ''
    seen = probe_server(url, ca_file, SERVER_PATIENCE, node_key=key_in_use(status))
    verdict = registered(Facts(status=status, server=seen))
    return '' if verdict is None or seen.key_known else '{} Next: {}'.format(verdict.what, verdict.next_command)


def run(args):
    api = LocalApi(args.socket)
    status = parse_status(api.status())
    variables, problem = environment()
    stray = left_behind(api, args.state_dir)
    gone = removed(api, status, args.ca)
    links = links_of(status)
    if args.json:
        print(json.dumps({
            'state': status.state, 'version': status.version, 'self': asdict(status.self_node),
            'team': team_of(status.self_node.tags), 'health': list(status.health),
            'peers': [asdict(peer) for peer in status.peers], 'links': [asdict(link) for link in links],
            'environment': variables, 'left_behind': stray, 'removed': gone}, indent=2))
    else:
        show(status, links, variables, problem)
        for sentence in stray + ([gone] if gone else []):
            print(sentence)
    return 0 if status.state == 'Running' else 3


def show(status, links, variables, problem):
    own = status.self_node
    if status.state == 'Running':
        print('{} ({}) in {}{}'.format(own.name, ', '.join(own.addresses),
                                       describe_belonging(belonging(own.tags, own.user) or '(none)'),
                                       '' if own.online else ', not seen by the server'))
    elif status.have_node_key:
        print('This robot left and keeps its identity. Next: ua-overlay join')
    else:
        print('This robot is in no team. Next: ua-overlay join INVITATION')
    print('ROS: {}'.format(variables.get('ROS_MASTER_URI') or problem))
    for text in status.health:
        print('tailscaled: {}'.format(text))
    if status.state == 'Running' and links:
        peers = {peer.dns_name: peer for peer in status.peers}
        print()
        print(format_table(('PEER', 'LINK', 'VIA', 'ADDRESS', 'TAGS'), [
            (link.peer, link.type, link.endpoint or link.relay, (peers[link.dns_name].addresses or ('',))[0],
             ' '.join(peers[link.dns_name].tags)) for link in links]))
