"""The common parts of `ua-overlay relay` and `ua-overlay derp`: a remote host of a site."""
import argparse
import functools
import json
import os
import sys
from typing import Optional

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.cli.shared.exit_status import ATTENTION, FAILED
from ua_overlay.cli.shared.parser import CommandParser, Configure
from ua_overlay.cli.shared.site import caller_ids, connect_to, load_site_file
from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.printable import printable
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays import remote_server
from ua_overlay.relays.enrolment import Enrolment
from ua_overlay.relays.remote_admin import RemoteAdmin
from ua_overlay.relays.remote_host import RemoteHost
from ua_overlay.server import service, service_egress
from ua_overlay.system.notify import notify
from ua_overlay.toolchain import locate

#: The name of a program in sentences, by the first word of its commands.
CALLED = {'server': 'server', 'relay': 'relay', 'derp': 'DERP'}
STATUS_EPILOG = """\
exit status:
  0  works
  1  does not work
  4  works, but needs attention: its certificate expires soon, or its egress
     rule is not in force"""
#: The programs of `run`.
_PROGRAMS = {'relay': 'a peer relay', 'derp': 'derper'}


def configure_run(kind: str) -> Configure:
    """The parser of `relay run` or `derp run`."""
    def configure(parser: CommandParser) -> None:
        parser.describe('Run {} from DIR and restart it when it ends. The first time, --enrolment is needed: it is '
                        'copied into DIR, so that you can delete the file. Needs root only for a port below '
                        '1024.'.format(_PROGRAMS[kind]))
        parser.add_argument('--enrolment', metavar='FILE', help='the file that `{} create` made on the server'.format(
            kind))
        parser.add_argument('--dir', required=True, metavar='DIR', help='directory of this {}'.format(CALLED[kind]))
        parser.set_defaults(run=lambda args: _run(args, kind))

    return configure


def configure_status(kind: str) -> Configure:
    """The parser of `relay status` or `derp status`."""
    def configure(parser: CommandParser) -> None:
        parser.describe('Show whether this {} works. Only root can see whether its egress rule is in force.'.format(
            CALLED[kind]), STATUS_EPILOG)
        parser.add_json()
        add_service_dir(parser, kind)
        parser.set_defaults(run=lambda args: _status(args, kind))

    return configure


def add_service_dir(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add --dir, by default that of `service install`."""
    parser.add_argument('--dir', metavar='DIR', default=os.path.join(defaults.DATA_DIR, kind),
                        help='directory of this {} (default: %(default)s)'.format(CALLED[kind]))


def add_output(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add --again, --output and --overwrite of an enrolment."""
    parser.add_argument('--again', action='store_true', help='make a new enrolment for an existing {}'.format(
        CALLED[kind]))
    parser.add_argument('--output', metavar='FILE',
                        help='write to FILE (default: NAME.{}.yaml; - for standard output)'.format(kind))
    parser.add_argument('--overwrite', action='store_true', help='replace an existing FILE')


def make_remote_admin(args: argparse.Namespace) -> RemoteAdmin:
    """A RemoteAdmin for the site of the command line."""
    site = load_site_file(args)
    return RemoteAdmin(site, lambda: connect_to(site), utc_now)


def output_path(args: argparse.Namespace, kind: str) -> Optional[str]:
    """The path of the enrolment; None for standard output.

    :raises OverlayError: the file exists, or a secret would go to a terminal.
    """
    if args.output == '-':
        if sys.stdout.isatty():
            raise UsageError('An enrolment holds a secret key, which must not be shown on a terminal.',
                             command('ua-overlay {} create {} --output FILE', kind, args.name))
        return None
    path: str = os.path.abspath(args.output or '{}.{}.yaml'.format(args.name, kind))
    if os.path.exists(path) and not args.overwrite:
        raise OverlayError('{} exists already.'.format(path), 'the same command with --overwrite or another --output')
    return path


def hand_out(enrolment: Enrolment, path: Optional[str]) -> None:
    """Write the enrolment and print the next commands."""
    if path is None:
        sys.stdout.write(enrolments.dump(enrolment))
        return
    enrolments.write(path, enrolment, caller_ids(os.environ, os.geteuid(), os.getegid()))
    print('{} written. Carry it to the host like a password, for example: scp {} HOST:'.format(path, path))
    print('On the host:  sudo ua-overlay {0} service install --enrolment {1}'.format(
        enrolment.kind, os.path.basename(path)))


def _run(args: argparse.Namespace, kind: str) -> int:
    remote_host = RemoteHost(os.path.abspath(args.dir), kind)
    if args.enrolment:
        remote_host.install(enrolments.read(args.enrolment, kind))
    return remote_server.RemoteServer(remote_host, locate, lambda line: print(line, flush=True),
                                      started=functools.partial(notify, 'READY=1')).run()


def _status(args: argparse.Namespace, kind: str) -> int:
    directory = os.path.abspath(args.dir)
    report = remote_server.status(RemoteHost(directory, kind))
    rule = service_egress.rule_state({'relay': service.RELAY, 'derp': service.DERP}[kind], directory)
    if rule is not None:
        report['egress'] = rule[1] + ('. Next: ' + rule[2] if rule[2] else '')
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        width = max(map(len, report)) + 2
        for key, value in sorted(report.items()):
            print('{}{}'.format(printable(key).ljust(width), printable(value, 1000)))
    if not report.get('ok'):
        return FAILED
    return ATTENTION if report.get('warning') or rule is not None and rule[0] is False else 0
