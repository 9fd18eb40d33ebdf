"""`ua-overlay links`: which path each link takes, since when, and what it did before."""
import argparse
import datetime
import json
import sys
import time
from dataclasses import asdict
from typing import Sequence

from ua_overlay.cli.shared.args import add_socket
from ua_overlay.cli.shared.exit_status import NOTHING
from ua_overlay.cli.shared.link_record import Record, read_record, round_trip_text, since_text
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import format_duration, from_unix, parse_duration, utc_now
from ua_overlay.printable import printable
from ua_overlay.tailscale.link_history import LinkRecord
from ua_overlay.tailscale.links import links_of
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import Link, parse_status

#: Seconds of --since.
USUAL = 7200.0

DESCRIPTION = """\
Show the path of each link, since when it has it, and what the link did before: changes of its type, and what was done
about a dead path. The overlay node records it until the robot reboots."""

EPILOG = """\
A path is abandoned (`rebind`) when it was silent, pings through the tunnel were unanswered, and the peer answered
another way.

exit status:
  0  shown
  1  no tailscaled, or the record cannot be read
  3  there is no such link

examples:
  ua-overlay links
  ua-overlay links dev-2 --since 30m
  ua-overlay links --json"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('peer', nargs='?', metavar='PEER', help='show only the link to this robot')
    parser.add_argument('--since', type=span, default=USUAL, metavar='TIME',
                        help='show the changes of this time: 30m, 2h, 1d (default: {})'.format(format_duration(USUAL)))
    add_socket(parser)
    parser.add_json()
    parser.set_defaults(run=run)


def span(text: str) -> float:
    """The ``type`` of --since."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))


def run(args: argparse.Namespace) -> int:
    links = [link for link in links_of(parse_status(LocalApi(args.socket).status()))
             if args.peer in (None, link.peer, link.dns_name)]
    if args.peer is not None and not links:
        print('There is no link to {}. Next: ua-overlay status'.format(printable(args.peer)), file=sys.stderr)
        return NOTHING
    now = time.time()
    record = read_record()
    changes = record.history.records(links[0].peer if args.peer is not None else None, now - args.since)
    if args.json:
        print(json.dumps({
            'links': [dict(asdict(link), since=record.since(link), round_trip=record.round_trip(link),
                           changes=record.history.count(link.peer)) for link in links],
            'records': [asdict(change) for change in changes]}, indent=2))
        return 0
    if not links:
        print('This robot has no peers. Next: ua-overlay status')
        return NOTHING
    print(link_table(links, record, utc_now()))
    print()
    print('\n'.join(map(line_of, changes)) if changes else
          'No link changed within the last {}.'.format(format_duration(args.since)))
    return 0


def link_table(links: Sequence[Link], record: Record, now: datetime.datetime) -> str:
    """The links as a table."""
    return format_table(('PEER', 'LINK', 'SINCE', 'ROUND TRIP', 'VIA', 'CHANGES'), [
        (link.peer, link.type, since_text(record.since(link), now), round_trip_text(record.round_trip(link)),
         link.endpoint or link.relay, record.history.count(link.peer)) for link in links])


def line_of(record: LinkRecord) -> str:
    """'16:41:02 UTC  dev-2  DIRECT -> DERP   silent for 1.1 s; reason'."""
    changed = record.after if record.before == record.after else '{} -> {}'.format(record.before, record.after)
    words = [record.action, 'silent for {:.1f} s'.format(record.silent) if record.silent else '',
             printable(record.reason)]
    return '{}  {:<12} {:<22} {}'.format(from_unix(record.stamp).strftime('%Y-%m-%d %H:%M:%S UTC'),
                                        printable(record.peer), changed, '; '.join(filter(None, words))).rstrip()
