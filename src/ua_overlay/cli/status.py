"""`ua-overlay status`: this robot in the overlay, its peers and its links."""
import argparse
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Dict, List, Mapping, Sequence, Tuple

from ua_overlay import link_types
from ua_overlay.cli.shared.args import add_ca, add_socket, add_state_dir
from ua_overlay.cli.shared.exit_status import NOTHING
from ua_overlay.cli.shared.link_record import Record, read_record, round_trip_text, since_text
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError
from ua_overlay.membership.identity import refusal
from ua_overlay.rosenv import envfile
from ua_overlay.tags import belonging, describe_belonging, team_of
from ua_overlay.tailscale import map_stamp
from ua_overlay.tailscale.links import links_of
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import Link, Status, parse_prefs, parse_status
from ua_overlay.tailscale.remembered_team import NEXT
from ua_overlay.tailscale.state_file import lack_of_room

if TYPE_CHECKING:
    from ua_overlay.checks.facts import Facts
    from ua_overlay.checks.finding import Verdicts

#: Seconds to wait for the server's answer whether it still knows this robot.
SERVER_PATIENCE = 1.0

EPILOG = """\
link types:
{}

exit status:
  0  running
  1  no tailscaled
  3  in no team, or left

example:
  ua-overlay status --json""".format('\n'.join(
    '  {:<11} {}'.format(kind, link_types.MEANING[kind]) for kind in link_types.ORDER))


def configure(parser: CommandParser) -> None:
    parser.describe('Show this robot in the overlay, its peers and the links to them. Needs no ROS master.', EPILOG)
    add_socket(parser)
    add_state_dir(parser)
    add_ca(parser)
    parser.add_json()
    parser.set_defaults(run=run)


def environment() -> Tuple[Dict[str, str], str]:
    """(variables of the env file, its problem as a sentence or '')."""
    try:
        return envfile.read(envfile.locate()), ''
    except OverlayError as error:
        return {}, error.sentence


def observe(api: LocalApi, state_dir: str) -> 'Facts':
    """The facts of this machine."""
    from ua_overlay.checks.observe.observer import Observer
    from ua_overlay.membership.settings import read_settings
    # Use no network except the resolver: this command answers in any state of the team.
    return Observer(api, read_settings(state_dir), patience=1.0).observe(frozenset())


def left_behind(facts: 'Facts') -> List[str]:
    """A sentence about nodes that still use a former team master, as nodes do not follow a move; [] without any."""
    from ua_overlay.checks.programs import old_master
    return _sentences(old_master(facts))


def failing_duties(facts: 'Facts') -> List[str]:
    """A sentence about each duty of the root service that hangs or fails; [] without any."""
    from ua_overlay.checks.agent import agent
    return _sentences(agent(facts))


def _sentences(verdicts: 'Verdicts') -> List[str]:
    found = verdicts if isinstance(verdicts, list) else [verdicts] if verdicts is not None else []
    return ['{} Next: {}'.format(verdict.what, verdict.next_command) for verdict in found if verdict.next_command]


def server_facts(api: LocalApi, status: Status, args: argparse.Namespace) -> 'Facts':
    """What the server says about this robot, if it is in use and the server answers."""
    from ua_overlay.checks.facts import Facts
    from ua_overlay.checks.observe.server import key_in_use, probe_server
    facts = Facts(now=utc_now().timestamp(), status=status, map_stamp=map_stamp.read(args.state_dir))
    if not key_in_use(status):
        return facts
    try:
        url = parse_prefs(api.prefs()).control_url
    except OverlayError:
        return facts
    return replace(facts, server=probe_server(url, args.ca, SERVER_PATIENCE, node_key=key_in_use(status)))


def removed(facts: 'Facts') -> str:
    """The sentence that the server no longer knows this robot; '' when it does, or does not answer."""
    from ua_overlay.checks.finding import Verdict
    from ua_overlay.checks.server import registered
    verdict = registered(facts)
    if facts.server is None or facts.server.key_known is not False or not isinstance(verdict, Verdict):
        return ''
    return '{} Next: {}'.format(verdict.what, verdict.next_command)


def run(args: argparse.Namespace) -> int:
    api = LocalApi(args.socket)
    status = parse_status(api.status())
    variables, problem = environment()
    observed = observe(api, args.state_dir)
    stray, duties = left_behind(observed), failing_duties(observed)
    facts = server_facts(api, status, args)
    gone = refusal(status) or removed(facts)
    team = facts.remembered_team
    lack = lack_of_room(args.socket) if status.have_node_key else None
    warnings = stray + ([str(lack)] if lack is not None else []) + duties
    links = links_of(status)
    try:
        record = read_record()
    except OverlayError:  # `ua-overlay links` says why; this command answers in any state of the robot
        record = Record()
    if args.json:
        print(json.dumps({
            'state': status.state, 'version': status.version, 'self': asdict(status.self_node),
            'team': '' if status.refused else team_of(status.self_node.tags), 'health': list(status.health),
            'peers': [asdict(peer) for peer in status.peers],
            'links': [dict(asdict(link), since=record.since(link), round_trip=record.round_trip(link))
                      for link in links],
            'environment': variables, 'left_behind': stray, 'removed': gone,
            'remembered_team': None if team is None else dict(
                asdict(team), state=team.state(facts.now), text=team.sentences(facts.now), next=NEXT),
            'identity_at_risk': '' if lack is None else str(lack), 'failing_duties': duties}, indent=2))
    else:
        show(status, links, variables, problem, record, '' if team is None else '{} Next: {}'.format(
            team.sentences(facts.now), NEXT))
        for sentence in warnings + ([gone] if gone and not status.refused else []):
            print(sentence)
    return 0 if status.state == 'Running' else NOTHING


def show(status: Status, links: Sequence[Link], variables: Mapping[str, str], problem: str, record: Record,
         about_team: str = '') -> None:
    """Print ``status`` for people.

    :param problem: why there are no ``variables``.
    :param about_team: about the team that this robot remembers while its server is away; '' without one.
    """
    now = utc_now()
    own = status.self_node
    if status.state == 'Running':
        print('{} ({}) in {}{}'.format(own.name, ', '.join(own.addresses),
                                       describe_belonging(belonging(own.tags, own.user) or '(none)'),
                                       '' if own.online else ', not connected to the server'))
        if about_team:
            print(about_team)
    elif status.refused:
        print(refusal(status))
    elif status.have_node_key:
        print('This robot left its team and keeps its identity. Next: ua-overlay join')
    else:
        print('This robot is in no team. Next: ua-overlay join INVITATION')
    print('ROS: {}'.format(variables.get('ROS_MASTER_URI') or problem))
    for text in status.health:
        print('tailscaled: {}'.format(text))
    if status.state == 'Running' and links:
        peers = {peer.dns_name: peer for peer in status.peers}
        print()
        print(format_table(('PEER', 'LINK', 'SINCE', 'ROUND TRIP', 'VIA', 'ADDRESS', 'TAGS'), [
            (link.peer, link.type, since_text(record.since(link), now), round_trip_text(record.round_trip(link)),
             link.endpoint or link.relay, (peers[link.dns_name].addresses or ('',))[0],
             ' '.join(peers[link.dns_name].tags)) for link in links]))
