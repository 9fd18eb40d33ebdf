"""`ua-overlay measure run`: take the samples of a campaign; resume an interrupted one."""
import argparse
import json
import os
import platform
import sys
import time
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from ua_overlay.advice import command
from ua_overlay.cli.shared.args import seconds
from ua_overlay.cli.shared.exit_status import FAILED
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import CampaignProgress, count
from ua_overlay.clock import format_duration
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.measure.campaign import campaign as campaigns
from ua_overlay.measure.campaign import plan, run, store
from ua_overlay.measure.campaign.campaign import Campaign
from ua_overlay.measure.campaign.measurement import Measurement
from ua_overlay.measure.campaign.plan import PlaceProgress, Step
from ua_overlay.measure.campaign.store import Store
from ua_overlay.measure.hosts import campaign_hosts
from ua_overlay.measure.hosts.host import Host
from ua_overlay.measure.hosts.process import HostLost

#: Returns the words of each emulated link, by the name of its host; {} outside a lab.
Links = Callable[[], Dict[str, Dict[str, str]]]

DESCRIPTION = """\
Take the samples of a campaign: every scenario alternately on the raw network and on the overlay. The campaign runs on
one host and reaches the others over ssh (`hosts: {lab-1: {ssh: user@address}}`); a host without `ssh` is this machine.
With --lab, all hosts are those of a running lab. Each sample is stored before the next one starts, so you can interrupt
a campaign and resume it with the same command. A sample that fails is stored with its reason, and the campaign
continues."""

EPILOG = """\
exit status:
  0  every requested sample is ok
  1  some failed, were excluded, or could not be stored, in this
     or an earlier run

examples:
  ua-overlay measure run campus.yaml
  ua-overlay measure run campus.yaml --results results/monday --again
  ua-overlay measure run campus.yaml --dry-run
  ua-overlay measure run campus.yaml --place library
  ua-overlay measure run campus.yaml --repetitions 10 --seconds 120
  sudo ua-overlay measure run campus.yaml --lab lab \\
      --workspace ~/catkin_ws/install"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('campaign', metavar='CAMPAIGN.yaml', help='the campaign file')
    add_results(parser)
    add_lab(parser)
    parser.add_argument('--place', metavar='PLACE',
                        help='only the scenarios of this place; on a robot that is carried around, one command per '
                             'place')
    parser.add_argument('--repetitions', type=int, metavar='N', help='override the repetitions of the campaign')
    parser.add_argument('--seconds', type=seconds, metavar='S',
                        help='override the seconds of every tool that has a duration')
    add_again(parser)
    parser.add_argument('--dry-run', action='store_true', help='print what would be measured; measure nothing')
    parser.add_json()
    parser.set_defaults(run=run_run)


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add --results."""
    parser.add_argument('--results', metavar='DIR', help='store samples in DIR (default: results/NAME-OF-CAMPAIGN)')


def add_lab(parser: argparse.ArgumentParser) -> None:
    """Add --lab and --workspace."""
    parser.add_argument('--lab', metavar='NAME', help='use the hosts of this lab')
    parser.add_argument('--workspace', metavar='DIR',
                        help='with --lab: install space with setup.bash, for the ROS tools')


def add_again(parser: argparse.ArgumentParser) -> None:
    """Add --again."""
    parser.add_argument('--again', action='store_true', help='also repeat samples that failed or were excluded')


def run_run(args: argparse.Namespace) -> int:
    campaign = campaigns.changed(campaigns.load(args.campaign), args.repetitions, args.seconds)
    directory = args.results or os.path.join('results', campaign.name)
    steps = [step for step in plan.steps(campaign) if args.place in (None, step.scenario.place)]
    if not steps:
        raise UsageError('No scenario of {} is at {}; they are at {}.'.format(
            args.campaign, args.place, ', '.join(sorted({each.place for each in campaign.scenarios}))))
    run.goes_on(directory, campaign)
    todo = plan.remaining(steps, store.read(directory), args.again)
    if args.dry_run:
        return dry_run(args, directory, todo)
    if todo:
        take(args, campaign, directory, todo)
    return outcome(args, directory, plan.by_place(steps, store.read(directory)), len(todo))


def dry_run(args: argparse.Namespace, directory: str, todo: Sequence[Step]) -> int:
    """Print the steps that would be measured. Returns the exit status."""
    seconds = plan.time_left(todo)
    if args.json:
        print(json.dumps({'results': directory, 'samples': [step.id for step in todo], 'seconds': round(seconds, 1)}))
        return 0
    for step in todo:
        print(step.id)
    print('{} to take, about {}.'.format(count(len(todo)), format_duration(seconds)))
    return 0


def take(args: argparse.Namespace, campaign: Campaign, directory: str, todo: Sequence[Step]) -> None:
    """Take the samples of the steps ``todo``.

    :raises OverlayError: none of them can be taken, or some could not be stored.
    """
    if not args.lab:
        check_clocks(campaign, todo)
    hosts, links = hosts_of(args, campaign)
    with Store(directory) as results, CampaignProgress(sys.stderr) as progress:
        check_hosts(hosts, todo, progress)
        versions = {name: host.versions() for name, host in sorted(hosts.items())}
        if not run.goes_on(directory, campaign):
            run.keep_description(directory, run.describe(campaign, machine(), versions, bool(args.lab), time.time()))
        measurement = Measurement(campaign, hosts, results, links, versions)
        try:
            run.run(todo, measurement, results, progress)
        except KeyboardInterrupt:
            progress.line('Interrupted; {} left. Repeat the command to continue.'.format(count(progress.left)))
            raise
        if results.pending:
            raise OverlayError('{} could not be written: {}'.format(count(len(results.pending)), results.flush()),
                               command('df {}', directory), code='MEASURE_SAMPLE')


def check_clocks(campaign: Campaign, todo: Sequence[Step]) -> None:
    """Check that the campaign states the error of its hosts' clocks, if a step measures an age.

    :raises UsageError: the campaign does not state it.
    """
    if campaign.clock_error_ms is None and any(step.tool.compares_clocks for step in todo):
        raise UsageError('The age of a message is the difference of two clocks, and the campaign does not say how far '
                         'they are apart.', 'clock_error_ms: 0.5 in the campaign, or 0 where both ends have one clock')


def check_hosts(hosts: Mapping[str, Host], todo: Sequence[Step], progress: CampaignProgress) -> None:
    """Name the unreachable hosts; a campaign can do without some of them.

    :raises HostLost: every step of ``todo`` needs one of these.
    """
    lost: Dict[str, HostLost] = {}
    for name, host in sorted(hosts.items()):
        try:
            host.enter()
        except HostLost as error:
            lost[name] = error
    if all(lost.keys() & {step.scenario.source, step.scenario.target} for step in todo):
        raise lost[min(lost)]
    for each in lost.values():
        progress.line('{} Its samples will fail. Next: {}'.format(each.sentence, each.next_command))


def outcome(args: argparse.Namespace, directory: str, places: Sequence[PlaceProgress], taken: int) -> int:
    """Print the state of the requested samples. Returns the exit status.

    :param taken: how many of them this run took.
    """
    good, bad = sum(each.good for each in places), sum(each.bad for each in places)
    if args.json:
        print(json.dumps({'results': directory, 'taken': taken, 'ok': good, 'not_ok': bad}))
    else:
        print('{} taken now. In {}: {} ok{}.'.format(count(taken), directory, good, ', {} failed or excluded'.format(
            bad) if bad else ''))
        if bad:
            print('Next: the same command with --again')
    return FAILED if bad else 0


def hosts_of(args: argparse.Namespace, campaign: Campaign) -> Tuple[Mapping[str, Host], Links]:
    """(the hosts of a campaign by name, the emulated links), in a lab or outside it."""
    if not args.lab:
        return campaign_hosts.of_campaign(campaign), dict
    from ua_overlay.measure.hosts import lab_host
    return lab_host.of_campaign(campaign, args.lab, args.workspace)


def machine() -> Dict[str, Any]:
    """The machine that runs the campaign, for the report."""
    return {'hostname': platform.node(), 'kernel': platform.release(), 'machine': platform.machine(),
            'processors': os.cpu_count(), 'python': platform.python_version()}
