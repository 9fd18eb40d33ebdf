"""`ua-overlay lab link`: bad links between the hosts of a lab."""
import argparse
import json
import sys

from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import UsageError

DESCRIPTION = """\
Make the link of a host slow, lossy or narrow, while everything runs. What is said holds in both directions: a delay
of 10ms adds 20ms to a round trip. In a topology file: `link: {delay: 10ms, loss: 1%, rate: 100mbit}` in a host, router
or robot. The emulator is a program (this needs no netem); it carries some hundreds of Mbit/s, and `measure` shows its
error."""

SET_EPILOG = """\
examples:
  ua-overlay lab link set dev-1 --delay 10ms --jitter 2ms --loss 1%
  ua-overlay lab link set nat1 --rate 100mbit --queue 20ms
  ua-overlay lab link set dev-1 --loss 0                # the rest stays as it is

--rate counts what is on an Ethernet cable, so TCP gets 94.1 % of it at most."""

OPTIONS = (('delay', 'TIME', 'what each packet needs'),
           ('jitter', 'TIME', 'up to so much more or less, equally likely; the order stays'),
           ('loss', 'SHARE', 'packets that get lost, each by itself: 1%%'),
           ('reorder', 'SHARE', 'packets that overtake: they need no time at all'),
           ('rate', 'RATE', 'of the wire: 100mbit'),
           ('queue', 'TIME', 'how long packets may wait for their turn at that rate (default: 50ms)'))


def add_link_parser(commands):
    raw = {'formatter_class': argparse.RawDescriptionHelpFormatter}
    group = commands.add_parser('link', help='delay, jitter, loss, reordering and rate of a link',
                                description=DESCRIPTION, epilog=SET_EPILOG, **raw)
    verbs = group.add_subparsers(dest='verb', metavar='COMMAND', required=True)

    def verb(name, function, help_, epilog='', host=True):
        parser = verbs.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + '.', epilog=epilog,
                                  **raw)
        parser.add_argument('--name', default='lab', help='which lab (default: %(default)s)')
        if host:
            parser.add_argument('host', metavar='HOST')
        parser.set_defaults(run=function)
        return parser

    setting = verb('set', run_set, 'change what the link of a host does to packets', SET_EPILOG)
    for key, metavar, help_ in OPTIONS:
        setting.add_argument('--' + key, metavar=metavar, help=help_)
    setting.add_argument('--seed', type=int, metavar='N', help='for the same losses in each run')
    verb('clear', run_clear, 'make the link of a host a plain cable again')
    showing = verb('show', run_show, 'the links that are not plain, and what they did', host=False)
    showing.add_argument('--json', action='store_true', help='for programs')
    measuring = verb('measure', run_measure, 'what the link of a host does, beside what it was told',
                     'Measured with ping and one TCP connection (iperf3) to the other end of the link.')
    measuring.add_argument('--seconds', type=float, default=3.0, help='of each of the two (default: %(default)s)')
    measuring.add_argument('--json', action='store_true', help='for programs')


def run_set(args):
    from ua_overlay.lab import link, shape
    from ua_overlay.lab.lab import Lab
    values = {key: getattr(args, key) for key, _, _ in OPTIONS if getattr(args, key) is not None}
    if not values:
        raise UsageError('Nothing to change was said.', 'ua-overlay lab link set --help')
    lab = Lab.attach(args.name)
    desired = shape.parse(values, link.shape_of(lab, args.host))
    link.set_shape(lab, args.host, desired, args.seed)
    print('The link of {}: {}.'.format(args.host, shape.describe(desired)))
    return 0


def run_clear(args):
    from ua_overlay.lab import link
    from ua_overlay.lab.lab import Lab
    print('The link of {} is a plain cable{}.'.format(
        args.host, '' if link.clear(Lab.attach(args.name), args.host) else ' already'))
    return 0


def run_show(args):
    from ua_overlay.lab import link, shape
    from ua_overlay.lab.lab import Lab
    lab = Lab.attach(args.name)
    found = [{'host': host, 'link': shape.to_words(each), 'counts': link.counts(lab, host)}
             for host, each in sorted(link.shapes(lab).items())]
    if args.json:
        json.dump(found, sys.stdout, indent=2)
        print()
    elif not found:
        print('Every link is a plain cable. Next: ua-overlay lab link set HOST --delay 10ms')
    else:
        print(format_table(('HOST', 'LINK', 'DIRECTION', 'PASSED', 'LOST', 'DROPPED', 'OVERTOOK'), [
            (item['host'], ', '.join(' '.join(pair) for pair in item['link'].items()) or 'plain', direction,
             numbers['passed'], numbers['lost'], numbers['dropped'], numbers['overtook'])
            for item in found for direction, numbers in item['counts'].items()]))
    return 0


def run_measure(args):
    from ua_overlay.lab import link, link_meter, shape
    from ua_overlay.lab.lab import Lab
    if not 1.0 <= args.seconds <= 600.0:
        raise UsageError('Between 1 and 600 seconds are measured.', 'ua-overlay lab link measure --help')
    lab = Lab.attach(args.name)
    desired = link.shape_of(lab, args.host)
    with Progress()('Measuring the link of {} ({})'.format(args.host, shape.describe(desired))):
        figures = link_meter.measure(lab, args.host, args.seconds)
    if args.json:
        json.dump([{'figure': figure.key, 'name': figure.name, 'unit': figure.unit, 'expected': figure.expected,
                    'measured': figure.measured} for figure in figures], sys.stdout, indent=2)
        print()
    else:
        print(format_table(('FIGURE', 'TOLD', 'SEEN', 'ERROR'), [
            (figure.name, None if figure.expected is None else '{:.3f} {}'.format(figure.expected, figure.unit),
             '{:.3f} {}'.format(figure.measured, figure.unit), _error(figure)) for figure in figures]))
    return 0


def _error(figure):
    if figure.error is None:
        return None
    if figure.expected:
        return '{:+.1f} %'.format(100 * figure.error)
    return '{:+.3f} {}'.format(figure.error, figure.unit)
