"""`ua-overlay lab link`: bad links between the hosts of a lab."""
import argparse
import json
import sys
from typing import Any, Callable, Dict, List, Optional

from ua_overlay.cli.shared.args import seconds
from ua_overlay.cli.shared.parser import CommandParser, Configure
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import UsageError
from ua_overlay.lab import link, link_meter, shape
from ua_overlay.lab.lab import DEFAULT_NAME, Lab
from ua_overlay.lab.link_meter import Figure

DESCRIPTION = """\
Make the link of a host slow, lossy or narrow while everything runs. Settings hold in both directions: a delay of 10ms
adds 20ms to a round trip. A topology file has them in a host, router or robot: `link: {delay: 10ms, loss: 1%, rate:
100mbit}`. The emulator is a program, so no netem is needed; it carries some hundreds of Mbit/s. `measure` shows its
error."""

EPILOG = """\
examples:
  sudo ua-overlay lab link set dev-1 --delay 10ms --jitter 2ms --loss 1%
  sudo ua-overlay lab link set nat1 --rate 100mbit --queue 20ms
  sudo ua-overlay lab link set dev-1 --loss 0       # keeps the other settings

--rate counts the bits on an Ethernet cable, so TCP gets at most 94.1 % of it."""

#: Options of `set`: (name, metavar, help).
OPTIONS = (('delay', 'TIME', 'delay of each packet: 10ms'),
           ('jitter', 'TIME', 'vary the delay by up to TIME more or less; packets keep their order'),
           ('loss', 'SHARE', 'share of the packets that are lost, each independently: 1%%'),
           ('reorder', 'SHARE', 'share of the packets that overtake others: they have no delay'),
           ('rate', 'RATE', 'rate of the wire: 100mbit'),
           ('queue', 'TIME', 'how long packets may wait at that rate (default: 50ms)'))


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('set', configure_set)
    parser.add_command('clear', _configure("Make a host's link a plain cable again.", run_clear))
    parser.add_command('show', _configure('Show the links that have settings, and the counters of their packets.',
                                          run_show, host=False, as_json=True))
    parser.add_command('measure', configure_measure)


def _configure(description: str, run: Callable[[argparse.Namespace], int], epilog: str = '', host: bool = True,
               as_json: bool = False) -> Configure:
    def configure_(parser: CommandParser) -> None:
        parser.describe(description, epilog)
        parser.add_argument('--name', default=DEFAULT_NAME, help='name of the lab (default: %(default)s)')
        if host:
            parser.add_argument('host', metavar='HOST', help='name of a host, router or robot')
        if as_json:
            parser.add_json()
        parser.set_defaults(run=run)

    return configure_


def configure_set(parser: CommandParser) -> None:
    _configure("Change what a host's link does to packets. Settings that you leave out stay.", run_set, EPILOG)(parser)
    for key, metavar, help_ in OPTIONS:
        parser.add_argument('--' + key, metavar=metavar, help=help_)
    parser.add_argument('--seed', type=int, metavar='N', help='seed of the random losses, to repeat a run')


def configure_measure(parser: CommandParser) -> None:
    _configure("Measure a host's link with ping and one TCP connection (iperf3) to its other end, and compare the "
               'figures with the settings.', run_measure, as_json=True)(parser)
    parser.add_argument('--seconds', type=seconds, default=3.0, metavar='S',
                        help='duration of each of the two (default: %(default)s)')


def run_set(args: argparse.Namespace) -> int:
    values = {key: getattr(args, key) for key, _, _ in OPTIONS if getattr(args, key) is not None}
    if not values:
        raise UsageError('Nothing to change: give at least one option.', 'ua-overlay lab link set --help')
    lab = Lab.attach(args.name)
    desired = shape.parse(values, link.shape_of(lab, args.host))
    link.set_shape(lab, args.host, desired, args.seed)
    print('The link of {}: {}.'.format(args.host, shape.describe(desired)))
    return 0


def run_clear(args: argparse.Namespace) -> int:
    print('The link of {} is {}a plain cable.'.format(
        args.host, 'now ' if link.clear(Lab.attach(args.name), args.host) else 'already '))
    return 0


def run_show(args: argparse.Namespace) -> int:
    lab = Lab.attach(args.name)
    links: List[Dict[str, Any]] = [
        {'host': host, 'link': shape.to_words(each), 'counts': link.counts(lab, host)}
        for host, each in sorted(link.shapes(lab).items())]
    if args.json:
        json.dump(links, sys.stdout, indent=2)
        print()
    elif not links:
        print('Every link is a plain cable. Next: ua-overlay lab link set HOST --delay 10ms')
    else:
        print(format_table(('HOST', 'LINK', 'DIRECTION', 'PASSED', 'LOST', 'DROPPED', 'OVERTOOK'), [
            (item['host'], ', '.join(' '.join(pair) for pair in item['link'].items()) or 'plain', direction,
             numbers['passed'], numbers['lost'], numbers['dropped'], numbers['overtook'])
            for item in links for direction, numbers in item['counts'].items()]))
    return 0


def run_measure(args: argparse.Namespace) -> int:
    if not 1.0 <= args.seconds <= 600.0:
        raise UsageError('--seconds must be between 1 and 600.', 'ua-overlay lab link measure --help')
    lab = Lab.attach(args.name)
    desired = link.shape_of(lab, args.host)
    with Progress()('Measuring the link of {} ({})'.format(args.host, shape.describe(desired))):
        figures = link_meter.measure(lab, args.host, args.seconds)
    if args.json:
        json.dump([{'figure': figure.key, 'name': figure.name, 'unit': figure.unit, 'expected': figure.expected,
                    'measured': figure.measured} for figure in figures], sys.stdout, indent=2)
        print()
    else:
        print(format_table(('FIGURE', 'SET', 'MEASURED', 'ERROR'), [
            (figure.name, None if figure.expected is None else '{:.3f} {}'.format(figure.expected, figure.unit),
             '{:.3f} {}'.format(figure.measured, figure.unit), _error(figure)) for figure in figures]))
    return 0


def _error(figure: Figure) -> Optional[str]:
    if figure.error is None:
        return None
    if figure.expected:
        return '{:+.1f} %'.format(100 * figure.error)
    return '{:+.3f} {}'.format(figure.error, figure.unit)
