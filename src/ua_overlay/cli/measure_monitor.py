"""`ua-overlay measure monitor`: a little of a campaign again and again, for days."""
import argparse
import json
import os
import signal
import sys
import time

from ua_overlay.cli import measure_run
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import format_duration

DESCRIPTION = """\
Probe the overlay round after round, for hours or months, and append each sample to the results directory in the format
of `measure run`; `measure report` draws them over time, with the changes of the link type. Nothing starts a monitor but
this command, and it is bounded by the section `monitor` of its campaign:

  monitor: {capacity: 20mbit, interval: 300, share: 1}

`capacity` is what the link carries. A plan whose probes would take more than `share` per cent of it on average, or a
probe more than half of it while it runs, is refused, and the sentence says what would do. TCP needs a `rate`. Old
samples go when there are more than `keep_mb` (64), or they are older than `keep_days` (90)."""

EPILOG = """\
RESULTS/status.json has the last value of each probe, whole at any moment, for other monitoring to read.
SIGINT and SIGTERM end a monitor; the sample that was being taken counts as not taken.

exit status: 0 ended by a signal, or after --rounds; 2 refused

examples:
  ua-overlay measure monitor config/campaigns/monitor.yaml --dry-run
  ua-overlay measure monitor monitor.yaml
  ua-overlay measure monitor monitor.yaml --results /var/lib/ua_overlay/monitor --json
  ua-overlay measure monitor --show results/monitor
  ua-overlay measure report results/monitor"""


def add_command(commands):
    parser = commands.add_parser('monitor', help='probe again and again, for days, within limits',
                                 description=DESCRIPTION, epilog=EPILOG,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('campaign', metavar='CAMPAIGN.yaml', nargs='?', help='a campaign with a section `monitor`')
    parser.add_argument('--results', metavar='DIR', help='where samples go (default: results/ and the name of the '
                        'campaign)')
    measure_run.add_lab(parser)
    parser.add_argument('--rounds', metavar='N', type=int, help='end after so many rounds (default: never)')
    parser.add_argument('--dry-run', action='store_true', help='only say what it would do, and what that takes')
    parser.add_argument('--show', metavar='DIR', help='only show the last values of the monitor in this directory')
    parser.add_argument('--json', action='store_true', help='an object a line for each sample; with --show and '
                        '--dry-run one object')
    parser.set_defaults(run=run_monitor, usage_error=parser.error)


def run_monitor(args):
    if args.show:
        return show(args)
    if not args.campaign or args.rounds is not None and args.rounds < 1:
        args.usage_error('a CAMPAIGN.yaml is needed, or --show DIR; --rounds is 1 or more')
    from ua_overlay.measure.campaign import campaign
    from ua_overlay.measure.monitor import monitor
    plan = monitor.checked(monitor.prepared(campaign.load(args.campaign)))
    if args.dry_run:
        return show_plan(args, plan)
    return take(args, plan)


def show_plan(args, plan):
    found = {'name': plan.campaign.name, 'interval_s': plan.interval, 'round_s': round(plan.seconds, 1),
             'share_percent': round(plan.share, 4), 'probes': [step.name.rsplit('+', 1)[0].replace('+', '/')
                                                               for step in plan.steps(0)]}
    if args.json:
        print(json.dumps(found))
        return 0
    print('\n'.join(found['probes']))
    print('every {}, for about {} a round; {:.2g} % of the link on average.'.format(
        format_duration(plan.interval), format_duration(plan.seconds), plan.share))
    return 0


def take(args, plan):
    from ua_overlay.measure.campaign import run
    from ua_overlay.measure.campaign.measurement import Measurement
    from ua_overlay.measure.monitor import run as monitor_run
    from ua_overlay.measure.monitor import store as monitor_store
    campaign = plan.campaign
    directory = args.results or os.path.join('results', campaign.name)
    hosts, links = measure_run.hosts_of(args, campaign)
    store = monitor_store.of(plan, directory)
    store.open()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        versions = {name: host.versions() for name, host in sorted(hosts.items())}
        if not run.goes_on(directory, campaign):
            run.keep_description(directory, run.describe(campaign, measure_run.machine(), versions, bool(args.lab),
                                                         time.time()))
        measurement = Measurement(campaign, hosts, store, links, versions, slack=15.0)
        rounds = monitor_run.Rounds(plan, measurement, store, tell_json if args.json else tell)
        if not args.json:
            print('Every {}: {} probes, {:.2g} % of the link on average; into {}.'.format(
                format_duration(plan.interval), len(plan.steps(0)), plan.share, directory), flush=True)
        try:
            rounds.run(args.rounds)
        except KeyboardInterrupt:
            print('Ended after {} rounds.'.format(rounds.status['rounds']), file=sys.stderr)
        return 0
    finally:
        store.close()


def _interrupt(number, frame):
    # The second would come into the tidying up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def tell(found, trouble):
    """A line for people and logs."""
    from ua_overlay.measure.monitor import status as monitor_status
    value, unit = monitor_status.value_of(found)
    words = [found['started'][:19] + 'Z', monitor_status.name_of(found), found['status'],
             '' if value is None else '{:.3g} {}'.format(value, unit), monitor_status.link_of(found), found['problem']]
    print(' '.join(filter(None, words)), flush=True)
    if trouble:
        print(trouble, file=sys.stderr, flush=True)


def tell_json(found, trouble):
    """A line for programs: the probe as in status.json, and its name."""
    from ua_overlay.measure.monitor import status as monitor_status
    value, unit = monitor_status.value_of(found)
    print(json.dumps({'probe': monitor_status.name_of(found), 'started': found['started'], 'status': found['status'],
                      'value': value, 'unit': unit, 'link': monitor_status.link_of(found), 'problem': found['problem'],
                      'trouble': trouble}), flush=True)


def show(args):
    from ua_overlay.measure.monitor import status as monitor_status
    status = monitor_status.read(args.show)
    if args.json:
        print(json.dumps(status, sort_keys=True))
        return 0
    print(format_table(('PROBE', 'LAST', 'STATUS', 'VALUE', 'LINK', 'CHANGES', 'LAST OK', 'WHY'), [
        (name, probe['started'][:19] + 'Z', probe['status'],
         None if probe['value'] is None else '{:.3g} {}'.format(probe['value'], probe['unit']), probe['link'] or None,
         probe['link_changes'], probe['last_ok'][:19] + 'Z' if probe['last_ok'] else None, probe['problem'] or None)
        for name, probe in sorted(status['probes'].items())]))
    print('{}, {} rounds since {}; updated {}.'.format(status['state'], status['rounds'], status['started'],
                                                       status['updated']))
    return 0
