"""`ua-overlay links`: which path each link takes, since when, and what it did before."""
import argparse
import datetime
import json
import sys
import time
from dataclasses import asdict
from typing import List, Optional, Sequence

from ua_overlay.cli.shared.args import add_socket
from ua_overlay.cli.shared.exit_status import NOTHING
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import ago, format_duration, from_unix, parse_duration, utc_now
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.rosenv import envfile
from ua_overlay.tailscale import link_log
from ua_overlay.tailscale.link_history import LinkHistory, LinkRecord
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


def read_records() -> List[LinkRecord]:
    """The records of this robot.

    :raises OverlayError: they are unreadable.
    """
    location = envfile.locate()
    try:
        return link_log.read(location.directory)
    except OSError as error:
        path = location.file(link_log.FILE_NAME)
        raise OverlayError('The record of the links, {}, cannot be read: {}.'.format(path, error.strerror or error),
                           'ls -l {}'.format(path)) from None


def run(args: argparse.Namespace) -> int:
    links = [link for link in links_of(parse_status(LocalApi(args.socket).status()))
             if args.peer in (None, link.peer, link.dns_name)]
    if args.peer is not None and not links:
        print('There is no link to {}. Next: ua-overlay status'.format(printable(args.peer)), file=sys.stderr)
        return NOTHING
    now = time.time()
    history = LinkHistory(read_records())
    records = history.records(links[0].peer if args.peer is not None else None, now - args.since)
    if args.json:
        print(json.dumps({
            'links': [dict(asdict(link), since=history.since(link.peer, link.type), changes=history.count(link.peer))
                      for link in links],
            'records': [asdict(record) for record in records]}, indent=2))
        return 0
    if not links:
        print('This robot has no peers. Next: ua-overlay status')
        return NOTHING
    print(link_table(links, history, utc_now()))
    print()
    print('\n'.join(map(line_of, records)) if records else
          'No link changed within the last {}.'.format(format_duration(args.since)))
    return 0


def link_table(links: Sequence[Link], history: LinkHistory, now: datetime.datetime) -> str:
    """The links as a table."""
    return format_table(('PEER', 'LINK', 'SINCE', 'VIA', 'CHANGES'), [
        (link.peer, link.type, since_text(history.since(link.peer, link.type), now), link.endpoint or link.relay,
         history.count(link.peer)) for link in links])


def since_text(since: Optional[float], now: datetime.datetime) -> str:
    return '-' if since is None else ago(from_unix(since), now)


def line_of(record: LinkRecord) -> str:
    """'16:41:02 UTC  dev-2  DIRECT -> DERP   silent for 1.1 s; reason'."""
    changed = record.after if record.before == record.after else '{} -> {}'.format(record.before, record.after)
    words = [record.action, 'silent for {:.1f} s'.format(record.silent) if record.silent else '',
             printable(record.reason)]
    return '{}  {:<12} {:<22} {}'.format(from_unix(record.stamp).strftime('%Y-%m-%d %H:%M:%S UTC'),
                                        printable(record.peer), changed, '; '.join(filter(None, words))).rstrip()
