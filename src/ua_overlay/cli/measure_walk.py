"""`ua-overlay measure walk`: a campaign on a robot that is carried from place to place, one command per place."""
import argparse
import json
import os
from typing import Sequence

from ua_overlay.cli import measure_run
from ua_overlay.cli.shared.exit_status import FAILED
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import count
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import format_duration
from ua_overlay.errors import UsageError
from ua_overlay.measure.campaign import campaign as campaigns
from ua_overlay.measure.campaign import plan, run, store
from ua_overlay.measure.campaign.campaign import Campaign
from ua_overlay.measure.campaign.plan import PlaceProgress

DESCRIPTION = """\
Take the samples of one place of a campaign, on a robot that is carried around. The first command names the campaign;
the results directory remembers it, so later commands need only the place. Without a place, show what is measured and
what is left at each place. To continue after an interruption, repeat the command."""

EPILOG = """\
exit status:
  0  every sample of the place is ok (without a place: nothing is left)
  1  some failed or were excluded (without a place: something is left)

examples:
  ua-overlay measure walk library campus.yaml   # the first place
  ua-overlay measure walk bar                   # the next place, same campaign
  ua-overlay measure walk                       # show what is left
  ua-overlay measure walk bar --again           # repeat what failed there"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('place', metavar='PLACE', nargs='?', help='where the robot is now')
    parser.add_argument('campaign', metavar='CAMPAIGN.yaml', nargs='?', help='needed the first time')
    parser.add_argument('--results', metavar='DIR',
                        help='store samples in DIR (default: results/NAME-OF-CAMPAIGN; without a campaign, the '
                             'directory below results/ that was used last)')
    measure_run.add_lab(parser)
    measure_run.add_again(parser)
    parser.add_json()
    parser.set_defaults(run=run_walk)


def run_walk(args: argparse.Namespace) -> int:
    if args.campaign:
        campaign = campaigns.load(args.campaign)
        directory = args.results or os.path.join('results', campaign.name)
    else:
        directory = args.results or last_used('results')
        campaign = run.remembered(directory)
    steps = plan.steps(campaign)
    if args.place is None:
        return show(args, campaign, directory, plan.by_place(steps, store.read(directory)))
    here = [step for step in steps if step.scenario.place == args.place]
    if not here:
        raise UsageError('No scenario of {} is at {}; they are at {}.'.format(
            campaign.name, args.place, ', '.join(dict.fromkeys(each.scenario.place for each in steps))),
            'ua-overlay measure walk')
    run.goes_on(directory, campaign)
    todo = plan.remaining(here, store.read(directory), args.again)
    if not args.json:
        print('{} in {}'.format(campaign.name, directory), flush=True)
    if todo:
        measure_run.take(args, campaign, directory, todo)
    places = plan.by_place(steps, store.read(directory))
    status = measure_run.outcome(args, directory, [each for each in places if each.place == args.place], len(todo))
    if not args.json:
        print(describe_rest(campaign, places))
    return status


def last_used(parent: str) -> str:
    """The results directory below ``parent`` that was used last, except those of monitors.

    :raises UsageError: there is none.
    """
    directories = []
    for name in sorted(os.listdir(parent)) if os.path.isdir(parent) else []:
        directory = os.path.join(parent, name)
        if os.path.exists(os.path.join(directory, run.DESCRIPTION)) and not run.is_monitor(directory):
            paths = [os.path.join(directory, file) for file in (store.FILE, run.DESCRIPTION)]
            directories.append((max(os.path.getmtime(path) for path in paths if os.path.exists(path)), directory))
    if not directories:
        raise UsageError('No campaign has results below {} yet: name the campaign.'.format(os.path.abspath(parent)),
                         'ua-overlay measure walk PLACE CAMPAIGN.yaml')
    return max(directories)[1]


def show(args: argparse.Namespace, campaign: Campaign, directory: str, places: Sequence[PlaceProgress]) -> int:
    """Print the finished and the remaining places. Returns the exit status."""
    left = [place for place in places if place.todo]
    if args.json:
        print(json.dumps({'campaign': campaign.name, 'results': directory, 'places': [
            {'place': each.place, 'name': campaign.place_title(each.place), 'ok': each.good, 'not_ok': each.bad,
             'left': len(each.todo), 'left_s': round(plan.time_left(each.todo), 1)} for each in places]}))
        return FAILED if left else 0
    print('{} in {}'.format(campaign.name, directory))
    print(format_table(('PLACE', 'NAME', 'OK', 'NOT OK', 'LEFT', 'TIME'), [
        (each.place, campaign.place_title(each.place), each.good, each.bad, len(each.todo),
         format_duration(plan.time_left(each.todo)) if each.todo else None) for each in places]))
    print(describe_rest(campaign, places))
    return FAILED if left else 0


def describe_rest(campaign: Campaign, places: Sequence[PlaceProgress]) -> str:
    """A sentence about the remaining places."""
    left = [each for each in places if each.todo]
    if not left:
        bad = sum(each.bad for each in places)
        return 'Every place of {} is measured{}.'.format(
            campaign.name, '; {} failed or were excluded (--again repeats them)'.format(count(bad)) if bad else '')
    todo = [step for each in left for step in each.todo]
    return 'Still to measure: {}; {}, about {} plus the walks between.'.format(
        ', '.join(each.place for each in left), count(len(todo)), format_duration(plan.time_left(todo)))
