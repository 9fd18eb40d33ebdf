"""`ua-overlay measure monitor`: probe the overlay repeatedly, for days, within limits."""
import argparse
import json
import os
import signal
import sys
import time
from types import FrameType
from typing import Optional

from ua_overlay.cli import measure_run
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import format_duration
from ua_overlay.measure.campaign import campaign as campaigns
from ua_overlay.measure.campaign import run
from ua_overlay.measure.campaign.measurement import Measurement
from ua_overlay.measure.campaign.sample import Sample
from ua_overlay.measure.campaign.store import Store
from ua_overlay.measure.monitor import monitor, rotating_store
from ua_overlay.measure.monitor import status as monitor_status
from ua_overlay.measure.monitor.monitor import MonitorPlan
from ua_overlay.measure.monitor.rounds import Rounds
from ua_overlay.printable import printable

DESCRIPTION = """\
Probe the overlay round after round, for hours or months, and append each sample to the results directory in the format
of `measure run`. `measure report` plots the samples over time, with the changes of the link type. Only this command
starts a monitor, and the section `monitor` of its campaign limits it:

  monitor: {capacity: 20mbit, interval: 300, share: 1}

`capacity` is what the link carries. The command refuses a plan whose probes would take more than `share` percent of it
on average, or a probe that would take more than half of it while it runs, and suggests values that it accepts. TCP
needs a `rate`. Samples are deleted when there are more than `keep_mb` (64), and when they are older than `keep_days`
(90)."""

EPILOG = """\
RESULTS/status.json holds the last value of each probe for other monitoring. It is replaced atomically, so you can read
it at any time. SIGINT and SIGTERM end a monitor; a sample in progress is discarded.

exit status:
  0  ended by a signal, or after --rounds
  2  refused

examples:
  ua-overlay measure monitor config/campaigns/monitor.yaml --dry-run
  ua-overlay measure monitor monitor.yaml
  ua-overlay measure monitor monitor.yaml --results /var/lib/monitor --json
  ua-overlay measure monitor --show results/monitor
  ua-overlay measure report results/monitor"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('campaign', metavar='CAMPAIGN.yaml', nargs='?', help='a campaign with a section `monitor`')
    measure_run.add_results(parser)
    measure_run.add_lab(parser)
    parser.add_argument('--rounds', metavar='N', type=int, help='end after N rounds (default: never)')
    parser.add_argument('--dry-run', action='store_true', help='print the probes and their share of the link; send '
                                                               'nothing')
    parser.add_argument('--show', metavar='DIR', help='show the last values of the monitor in DIR')
    parser.add_argument('--json', action='store_true', help='print JSON, one line for each sample')
    parser.set_defaults(run=run_monitor, usage_error=parser.error)


def run_monitor(args: argparse.Namespace) -> int:
    if args.show:
        return show(args)
    if not args.campaign or args.rounds is not None and args.rounds < 1:
        args.usage_error('give a CAMPAIGN.yaml or --show DIR; --rounds must be 1 or more')
    plan = monitor.checked(monitor.prepared(campaigns.load(args.campaign)))
    if args.dry_run:
        return show_plan(args, plan)
    return take(args, plan)


def show_plan(args: argparse.Namespace, plan: MonitorPlan) -> int:
    """Print the monitor's plan. Returns the exit status."""
    probes = [step.name.rsplit('+', 1)[0].replace('+', '/') for step in plan.steps(0)]
    if args.json:
        print(json.dumps({'name': plan.campaign.name, 'interval_s': plan.interval, 'round_s': round(plan.seconds, 1),
                          'share_percent': round(plan.share, 4), 'probes': probes}))
        return 0
    print('\n'.join(probes))
    print('A round every {}, about {} each; {:.2g} % of the link on average.'.format(
        format_duration(plan.interval), format_duration(plan.seconds), plan.share))
    return 0


def take(args: argparse.Namespace, plan: MonitorPlan) -> int:
    """Take samples until a signal, or for --rounds. Returns the exit status."""
    campaign = plan.campaign
    directory = args.results or os.path.join('results', campaign.name)
    hosts, links = measure_run.hosts_of(args, campaign)
    store = rotating_store.of_plan(plan, directory)
    store.open()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        versions = {name: host.versions() for name, host in sorted(hosts.items())}
        if not run.goes_on(directory, campaign):
            run.keep_description(directory, run.describe(campaign, measure_run.machine(), versions, bool(args.lab),
                                                         time.time()))
        measurement = Measurement(campaign, hosts, store, links, versions, slack=15.0)
        rounds = Rounds(plan, measurement, store, print_json if args.json else print_line)
        if not args.json:
            print('Every {}: {} probes, {:.2g} % of the link on average; results go to {}.'.format(
                format_duration(plan.interval), len(plan.steps(0)), plan.share, directory), flush=True)
        try:
            rounds.run(args.rounds)
        except KeyboardInterrupt:
            print('Ended after {} rounds.'.format(rounds.status['rounds']), file=sys.stderr)
        return 0
    finally:
        store.close()


def _interrupt(_number: int, _frame: Optional[FrameType]) -> None:
    # A second signal must not interrupt the cleanup.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def print_line(sample: Sample, trouble: str) -> None:
    """Print a sample on one line.

    :param trouble: why it could not be stored, or ''.
    """
    value, unit = monitor_status.value_of(sample)
    words = [sample.started[:19] + 'Z', monitor_status.name_of(sample), sample.status,
             '' if value is None else '{:.3g} {}'.format(value, unit), monitor_status.link_of(sample),
             sample.problem]
    print(' '.join(filter(None, words)), flush=True)
    if trouble:
        print(trouble, file=sys.stderr, flush=True)


def print_json(sample: Sample, trouble: str) -> None:
    """Print a sample as one line of JSON, as in status.json, with the name of its probe."""
    value, unit = monitor_status.value_of(sample)
    print(json.dumps({'probe': monitor_status.name_of(sample), 'started': sample.started, 'status': sample.status,
                      'value': value, 'unit': unit, 'link': monitor_status.link_of(sample),
                      'problem': sample.problem, 'trouble': trouble}), flush=True)


def show(args: argparse.Namespace) -> int:
    """Print the last values of a monitor. Returns the exit status."""
    status = monitor_status.read(args.show)
    alive = Store(args.show).is_written()
    if args.json:
        print(json.dumps(dict(status, alive=alive), sort_keys=True))
        return 0
    print(format_table(('PROBE', 'LAST', 'STATUS', 'VALUE', 'LINK', 'CHANGES', 'LAST OK', 'WHY'), [
        (name, probe['started'][:19] + 'Z', probe['status'],
         None if probe['value'] is None else '{:.3g} {}'.format(probe['value'], probe['unit']), probe['link'] or None,
         probe['link_changes'], probe['last_ok'][:19] + 'Z' if probe['last_ok'] else None, probe['problem'] or None)
        for name, probe in sorted(status['probes'].items())]))
    # What was killed cannot say so.
    state = status['state'] if alive or status['state'] == monitor_status.STOPPED else 'killed'
    print(printable('{}; {} rounds since {}; last update {}.'.format(state, status['rounds'], status['started'],
                                                                 status['updated'])))
    return 0
