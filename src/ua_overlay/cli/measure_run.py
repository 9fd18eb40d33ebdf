"""`ua-overlay measure run`: a campaign of measurements, resumed where it was interrupted."""
import argparse
import json
import os
import platform
import sys
import time

from ua_overlay.cli.shared.campaign_progress import Shown, count
from ua_overlay.clock import format_duration
from ua_overlay.errors import OverlayError, UsageError

RUN_DESCRIPTION = """\
Take the samples of a campaign: every scenario on the raw network and on the overlay in turns. The campaign runs on one
host; the others are reached over ssh (`hosts: {lab-1: {ssh: user@address}}`), a host without `ssh` is this machine.
With --lab all of them are hosts of a running lab. Each sample is on the disk before the next begins: the same command
again goes on where it was interrupted. A sample that fails says why, and the campaign goes on."""

RUN_EPILOG = """\
exit status: 0 every sample that was asked for is ok; 1 some failed or were excluded, now or before, or could not be
written

examples:
  ua-overlay measure run campus.yaml
  ua-overlay measure run campus.yaml --results results/monday --again
  ua-overlay measure run campus.yaml --dry-run
  ua-overlay measure run campus.yaml --place library
  ua-overlay measure run campus.yaml --repetitions 10 --seconds 120
  sudo ua-overlay measure run campus.yaml --lab lab --workspace ~/catkin_ws/install"""


#: `ssh` of a host into which there is no way.
NO_WAY = 'none'


def add_command(commands):
    parser = commands.add_parser('run', help='take the samples of a campaign', description=RUN_DESCRIPTION,
                                 epilog=RUN_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('campaign', metavar='CAMPAIGN.yaml')
    parser.add_argument('--results', metavar='DIR', help='where samples go (default: results/ and the name of the '
                        'campaign)')
    add_lab(parser)
    parser.add_argument('--place', metavar='PLACE', help='only the scenarios of this place: on a robot that is carried '
                        'about, one command a place')
    parser.add_argument('--repetitions', type=int, metavar='N', help='instead of what the campaign says')
    parser.add_argument('--seconds', type=float, metavar='S', help='of every tool that goes by seconds, instead of '
                        'what the campaign says')
    parser.add_argument('--again', action='store_true', help='also those that failed or were excluded before')
    parser.add_argument('--dry-run', action='store_true', help='only say what would be measured')
    parser.add_argument('--json', action='store_true', help='an object with the numbers of samples, for programs')
    parser.set_defaults(run=run_run)


def add_lab(parser):
    """The options for hosts of a lab."""
    parser.add_argument('--lab', metavar='NAME', help='hosts are those of this lab')
    parser.add_argument('--workspace', metavar='DIR', help='with --lab: install space with setup.bash, for '
                        'the ROS tools')


def run_run(args):
    from ua_overlay.measure.campaign import campaign as campaigns
    from ua_overlay.measure.campaign import plan, run, sample
    campaign = campaigns.changed(campaigns.load(args.campaign), args.repetitions, args.seconds)
    directory = args.results or os.path.join('results', campaign.name)
    steps = [step for step in plan.steps(campaign) if args.place in (None, step.scenario.place)]
    if not steps:
        raise UsageError('No scenario of {} is at {}; they are at {}.'.format(
            args.campaign, args.place, ', '.join(sorted({each.place for each in campaign.scenarios}))))
    run.goes_on(directory, campaign)
    todo = plan.remaining(steps, sample.read(directory), args.again)
    if args.dry_run:
        return dry_run(args, directory, todo)
    if todo:
        take(args, campaign, directory, todo)
    return outcome(args, directory, plan.by_place(steps, sample.read(directory)), len(todo))


def dry_run(args, directory, todo):
    """Say what would be measured."""
    from ua_overlay.measure.campaign import plan
    seconds = plan.time_left(todo, 0, 0)
    if args.json:
        print(json.dumps({'results': directory, 'samples': [step.id for step in todo], 'seconds': round(seconds, 1)}))
        return 0
    for step in todo:
        print(step.id)
    print('{} to take, about {}.'.format(count(len(todo)), format_duration(seconds)))
    return 0


def take(args, campaign, directory, todo):
    """Take the samples of the steps ``todo``. :raises OverlayError: what keeps all of them from being taken."""
    from ua_overlay.measure.campaign import run, sample
    from ua_overlay.measure.campaign.measurement import Measurement
    if not args.lab:
        warn_about_clocks(campaign, todo)
    hosts, links = hosts_of(args, campaign)
    with sample.Store(directory) as store, Shown(sys.stderr) as shown:
        check_hosts(hosts, todo, shown)
        versions = {name: host.versions() for name, host in sorted(hosts.items())}
        if not run.goes_on(directory, campaign):
            run.keep_description(directory, run.describe(campaign, machine(), versions, bool(args.lab), time.time()))
        measurement = Measurement(campaign, hosts, store, links, versions)
        try:
            run.run(todo, measurement, store, shown)
        except KeyboardInterrupt:
            shown.line('Interrupted; {} left. The same command goes on with them.'.format(count(shown.left)))
            raise
        if store.pending:
            raise OverlayError('{} could not be written: {}'.format(count(len(store.pending)), store.flush()),
                               'df ' + directory, code='MEASURE_SAMPLE')


def warn_about_clocks(campaign, todo):
    """:raises UsageError: ages are asked for, and nobody said how far the clocks of both ends are apart."""
    from ua_overlay.measure.campaign import sample
    if campaign.clock_error_ms is None and any(step.tool.kind in (sample.TOPIC, sample.VIDEO) for step in todo):
        raise UsageError('The age of a message is the difference of two clocks, and the campaign does not say how far '
                         'these are apart.', 'clock_error_ms: 0.5 in the campaign, or 0 where both ends have one clock')


def check_hosts(hosts, todo, shown):
    """Name the hosts that nobody can enter now; a campaign can go on without some.

    :raises HostLost: no step of ``todo`` has both of its ends.
    """
    from ua_overlay.measure.hosts.host import HostLost
    lost = {}
    for name, host in sorted(hosts.items()):
        try:
            host.enter()
        except HostLost as error:
            lost[name] = error
    if all(lost.keys() & {step.scenario.source, step.scenario.target} for step in todo):
        raise lost[min(lost)]
    for error in lost.values():
        shown.line('{} What is measured there fails. Next: {}'.format(error.sentence, error.next_command))


def outcome(args, directory, places, taken):
    """Say how the samples that were asked for are; returns the exit status. :param taken: how many were taken now."""
    good, bad = sum(each.good for each in places), sum(each.bad for each in places)
    if args.json:
        print(json.dumps({'results': directory, 'taken': taken, 'ok': good, 'not_ok': bad}))
    else:
        print('{} taken now. In {}: {} ok{}.'.format(count(taken), directory, good, ', {} failed or excluded'.format(
            bad) if bad else ''))
        if bad:
            print('Next: the same command with --again')
    return 1 if bad else 0


def hosts_of(args, campaign):
    """(name -> host.Host, function -> {host: shape of its emulated link}) of a campaign, in a lab or not."""
    return hosts_of_lab(args, campaign) if args.lab else (hosts_of_campaign(campaign), dict)


def hosts_of_campaign(campaign):
    """name -> host.Host of every host of a campaign, over ssh or this machine.

    :raises UsageError: two are this one.
    """
    from ua_overlay.measure.hosts.host import Closed, Here, OverSsh
    found, here = {}, []
    for name in host_names(campaign):
        fields = campaign.hosts.get(name, {'address': '', 'ssh': '', 'overlay': ''})
        options = {'address': fields['address'], 'overlay': fields['overlay']}
        if fields['ssh'] == NO_WAY:
            found[name] = Closed(name, **options)
        elif fields['ssh']:
            found[name] = OverSsh(name, fields['ssh'], **options)
        else:
            here.append(name)
            found[name] = Here(name, **options)
    if len(here) > 1:
        raise UsageError('{} have no `ssh` in the campaign, but only one host can be this machine.'.format(
            ' and '.join(here)), 'ua-overlay measure run --help')
    return found


def hosts_of_lab(args, campaign):
    """(name -> host.Host of every host of a campaign in a lab, function -> {host: words} of its emulated links)."""
    from ua_overlay.lab import link, shape
    from ua_overlay.lab.lab import Lab
    from ua_overlay.measure.hosts.lab_host import LabHost
    lab = Lab.attach(args.lab)
    found = {name: LabHost(lab, name, campaign.hosts.get(name, {}), args.workspace) for name in host_names(campaign)}
    return found, lambda: {host: shape.to_words(each) for host, each in sorted(link.shapes(lab).items())}


def host_names(campaign):
    return sorted({name for scenario in campaign.scenarios for name in (scenario.source, scenario.target)})


def machine():
    """What is known of the machine that runs the campaign (dict)."""
    return {'hostname': platform.node(), 'kernel': platform.release(), 'machine': platform.machine(),
            'processors': os.cpu_count(), 'python': platform.python_version()}
