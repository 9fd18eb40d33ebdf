"""What `ua-overlay relay` and `ua-overlay derp` have in common: a remote host of a site."""
import functools
import json
import os
import sys

from ua_overlay import defaults
from ua_overlay.cli.shared.args import WARNED, asker, load_site_file
from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale.access import connect
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays import remote_server
from ua_overlay.relays.remote_admin import RemoteAdmin
from ua_overlay.relays.remote_host import RemoteHost
from ua_overlay.server import service, service_egress
from ua_overlay.system.notify import notify
from ua_overlay.toolchain import locate


def add_run(commands, kind, program):
    """Add `run` and `status` of the remote host."""
    run = commands.add_parser(
        'run', help='run it in the foreground (on the remote host)',
        description='Runs {} from DIR and restarts it when it ends. The first time with --enrolment, which is '
                    'copied into DIR; the file itself can be deleted then. Needs no root unless a port is below '
                    '1024.'.format(program))
    run.add_argument('--enrolment', metavar='FILE', help='what `{} create` made on the server'.format(kind))
    _add_host_dir(run, kind)
    run.set_defaults(run=lambda args: _run(args, kind))
    status = commands.add_parser('status', help='does it work (on the remote host)',
                                 description='Does it work? Exit status 0 when it does, 4 when it does and its '
                                             'certificate ends soon or the rule of whom it connects to is not in force '
                                             '(which root alone can see).')
    status.add_argument('--json', action='store_true', help='for programs')
    add_service_dir(status, kind)
    status.set_defaults(run=lambda args: _status(args, kind))


def _add_host_dir(parser, kind):
    parser.add_argument('--dir', required=True, metavar='DIR', help='directory of this {}'.format(kind))


def add_service_dir(parser, kind):
    """Add --dir, by default where `service install` puts it."""
    parser.add_argument('--dir', metavar='DIR', default=os.path.join(defaults.STATE_DIR, kind),
                        help='directory of this {} (default: %(default)s)'.format(kind))


def add_output(parser, kind):
    """Add --output and --overwrite for an enrolment."""
    parser.add_argument('--again', action='store_true', help='a new enrolment for one that is there already')
    parser.add_argument('--output', metavar='FILE',
                        help='where to write the enrolment (default: NAME.{}.yaml); - for standard output'.format(kind))
    parser.add_argument('--overwrite', action='store_true', help='replace FILE if it is there')


def make_remote_admin(args):
    """RemoteAdmin of the site that the command line means."""
    site = load_site_file(args)
    return RemoteAdmin(site, lambda: connect(site, lambda: locate('headscale')), utc_now)


def output_path(args, kind):
    """Where the enrolment goes, None for standard output.

    :raises OverlayError: the file is there, or a secret would go to a terminal.
    """
    if args.output == '-':
        if sys.stdout.isatty():
            raise UsageError('An enrolment holds a secret, which is not for a terminal.',
                             'ua-overlay {} create {} --output FILE'.format(kind, args.name))
        return None
    path = os.path.abspath(args.output or '{}.{}.yaml'.format(args.name, kind))
    if os.path.exists(path) and not args.overwrite:
        raise OverlayError('{} exists already.'.format(path), 'the same command with --overwrite or another --output')
    return path


def hand_out(enrolment, path):
    """Write the enrolment and say what to do with it."""
    if path is None:
        sys.stdout.write(enrolments.dump(enrolment))
        return
    enrolments.write(path, enrolment, asker(os.environ, os.geteuid(), os.getegid()))
    print('{} written. Carry it to the host like a password, for example: scp {} HOST:'.format(path, path))
    print('There:  sudo ua-overlay {0} service install --enrolment {1}'.format(enrolment.kind, os.path.basename(path)))


def _run(args, kind):
    remote_host = RemoteHost(os.path.abspath(args.dir), kind)
    if args.enrolment:
        remote_host.install(enrolments.read(args.enrolment, kind))
    return remote_server.RemoteServer(remote_host, locate, lambda line: print(line, flush=True),
                                        started=functools.partial(notify, 'READY=1')).run()


def _status(args, kind):
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
            print('{}{}'.format(key.ljust(width), value))
    flawed = report.get('warning') or rule is not None and rule[0] is False
    return 1 if not report.get('ok') else WARNED if flawed else 0
