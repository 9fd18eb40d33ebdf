"""`ua-overlay server relay`: the site's relay, and its derper if it has one, in a process apart from the server."""
import argparse
import functools
import json

from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.exit_status import ATTENTION, FAILED
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.site import connect_to, explained, load_site, load_site_and_problem
from ua_overlay.clock import utc_now
from ua_overlay.printable import printable
from ua_overlay.protocols import JsonObject
from ua_overlay.server import apart_relays
from ua_overlay.server.relay_server import RelayServer
from ua_overlay.system.notify import notify
from ua_overlay.toolchain import locate

DESCRIPTION = """\
Run the relay of the site in a process apart from the server, and so the derper beside Headscale if site.yaml has a
derp_port. Links over them then do not notice when the server restarts. `server service install` makes a unit of this;
`server run` runs the relay itself while no such process does."""
RUN_DESCRIPTION = """\
Run the relay, and derper, and restart what crashes. They need no running server: the relay waits for it, and derper
admits robots that Headscale confirmed within `admission_memory`. SIGTERM or Ctrl-C stops them. Start the server with
`server run --no-relay` beside it. Needs root only for a port below 1024."""


def configure_relay(parser: CommandParser) -> None:
    """`server relay`."""
    parser.describe(DESCRIPTION)
    parser.add_command('run', configure_run)
    parser.add_command('status', configure_status)


def configure_run(parser: CommandParser) -> None:
    parser.describe(RUN_DESCRIPTION, 'logs: DIR/log/relay.log and DIR/log/derper.log, at most 8 MB each')
    add_dir(parser)
    parser.set_defaults(run=run_run)


def configure_status(parser: CommandParser) -> None:
    parser.describe('Show whether the relay apart from the server works, and derper. It answers without a server, too.',
                    'exit status:\n  0  works\n  1  does not work, or does not run apart from the server\n'
                    '  4  works, but needs attention: a log loses lines')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_status)


def _say(line: str) -> None:
    print(line, flush=True)


def run_run(args: argparse.Namespace) -> int:
    site, problem = load_site_and_problem(args)
    if problem is not None:
        _say(str(explained(problem)))
    return RelayServer(site, locate, lambda: connect_to(site), utc_now, _say,
                       started=functools.partial(notify, 'READY=1')).run()


def run_status(args: argparse.Namespace) -> int:
    report = apart_relays.status(load_site(args))
    parts = [(name, part) for name, part in (('relay', report['relay']), ('derper', report['own_derp'])) if part]
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        for name, part in parts:
            print('{:<8}{}'.format(name, printable(described(part), 1000)))
        for problem in report['log_problems']:
            print('{:<8}{}'.format('log', printable(problem, 1000)))
    if not all(part['ok'] for _, part in parts):
        return FAILED
    return ATTENTION if report['log_problems'] else 0


def described(part: JsonObject) -> str:
    """The report of a relay or a derper, for people."""
    texts = [part['state']]
    if 'carrying' in part:
        texts.append('carries {} link(s)'.format(part['carrying']))
    if part.get('repairs'):
        texts.append('repaired {} time(s)'.format(part['repairs']))
    if 'remembered' in part:
        texts.append('remembers {} node(s)'.format(part['remembered']))
    if part.get('note'):
        texts.append(part['note'])
    return ', '.join(texts)
