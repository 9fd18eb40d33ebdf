"""`ua-overlay measure walk`: a campaign on a robot that is carried from place to place, one command a place."""
import argparse
import json
import os

from ua_overlay.cli import measure_run
from ua_overlay.cli.shared.campaign_progress import count
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import format_duration
from ua_overlay.errors import UsageError

DESCRIPTION = """\
Take the samples of one place of a campaign, on a robot that is carried about. The first command names the campaign; the
results directory remembers it, so that the next ones name the place alone. Without a place: what is measured and
what is still to do, place by place. Interrupted, the same command goes on where it was."""

EPILOG = """\
exit status: 0 every sample of the place is ok (without a place: nothing is left to do); 1 some failed or were excluded,
now or before (something is left)

examples:
  ua-overlay measure walk library campus.yaml       # the first place
  ua-overlay measure walk bar                       # the next: the campaign that was last measured below results/
  ua-overlay measure walk                           # what is still to do
  ua-overlay measure walk bar --again               # what failed or was excluded there, once more"""


def add_command(commands):
    parser = commands.add_parser('walk', help='a campaign on a robot that is carried about: one command a place',
                                 description=DESCRIPTION, epilog=EPILOG,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('place', metavar='PLACE', nargs='?', help='where the robot is now')
    parser.add_argument('campaign', metavar='CAMPAIGN.yaml', nargs='?', help='needed the first time')
    parser.add_argument('--results', metavar='DIR', help='where samples go (default: results/ and the name of the '
                        'campaign; without one, the directory below results/ that was measured into last)')
    measure_run.add_lab(parser)
    parser.add_argument('--again', action='store_true', help='also those that failed or were excluded before')
    parser.add_argument('--json', action='store_true', help='an object for programs')
    parser.set_defaults(run=run_walk)


def run_walk(args):
    from ua_overlay.measure.campaign import campaign as campaigns
    from ua_overlay.measure.campaign import plan, run, sample
    if args.campaign:
        campaign = campaigns.load(args.campaign)
        directory = args.results or os.path.join('results', campaign.name)
    else:
        directory = args.results or last_used('results')
        campaign = run.remembered(directory)
    steps = plan.steps(campaign)
    if args.place is None:
        return show(args, campaign, directory, plan.by_place(steps, sample.read(directory)))
    here = [step for step in steps if step.scenario.place == args.place]
    if not here:
        raise UsageError('No scenario of {} is at {}; they are at {}.'.format(
            campaign.name, args.place, ', '.join(dict.fromkeys(each.scenario.place for each in steps))),
            'ua-overlay measure walk')
    run.goes_on(directory, campaign)
    todo = plan.remaining(here, sample.read(directory), args.again)
    if not args.json:
        print('{} in {}'.format(campaign.name, directory), flush=True)
    if todo:
        measure_run.take(args, campaign, directory, todo)
    places = plan.by_place(steps, sample.read(directory))
    status = measure_run.outcome(args, directory, [each for each in places if each.place == args.place], len(todo))
    if not args.json:
        print(still(campaign, places))
    return status


def last_used(parent):
    """The results directory below ``parent`` into which was measured last; a monitor's own is none.

    :raises UsageError: there is none.
    """
    from ua_overlay.measure.campaign import run, sample
    found = []
    for name in sorted(os.listdir(parent)) if os.path.isdir(parent) else []:
        directory = os.path.join(parent, name)
        if os.path.exists(os.path.join(directory, run.DESCRIPTION)) and not run.is_monitor(directory):
            paths = [os.path.join(directory, file) for file in (sample.FILE, run.DESCRIPTION)]
            found.append((max(os.path.getmtime(path) for path in paths if os.path.exists(path)), directory))
    if not found:
        raise UsageError('Nothing was measured below {} so far: which campaign is it?'.format(os.path.abspath(parent)),
                         'ua-overlay measure walk PLACE CAMPAIGN.yaml')
    return max(found)[1]


def show(args, campaign, directory, places):
    """What is measured and what is left."""
    from ua_overlay.measure.campaign import plan
    left = [place for place in places if place.todo]
    if args.json:
        print(json.dumps({'campaign': campaign.name, 'results': directory, 'places': [
            {'place': each.place, 'name': name_of(campaign, each.place), 'ok': each.good, 'not_ok': each.bad,
             'left': len(each.todo), 'left_s': round(plan.time_left(each.todo, 0, 0), 1)} for each in places]}))
        return 1 if left else 0
    print('{} in {}'.format(campaign.name, directory))
    print(format_table(('PLACE', 'NAME', 'OK', 'NOT OK', 'LEFT', 'TIME'), [
        (each.place, name_of(campaign, each.place), each.good, each.bad, len(each.todo),
         format_duration(plan.time_left(each.todo, 0, 0)) if each.todo else None) for each in places]))
    print(still(campaign, places))
    return 1 if left else 0


def still(campaign, places):
    """A sentence on what is left to do."""
    from ua_overlay.measure.campaign import plan
    left = [each for each in places if each.todo]
    if not left:
        bad = sum(each.bad for each in places)
        return 'Every place of {} is measured{}.'.format(
            campaign.name, '; {} failed or were excluded (--again takes them once more)'.format(count(bad))
            if bad else '')
    todo = [step for each in left for step in each.todo]
    return 'Still to measure: {}; {}, about {} and the ways between.'.format(
        ', '.join(each.place for each in left), count(len(todo)), format_duration(plan.time_left(todo, 0, 0)))


def name_of(campaign, place):
    return (campaign.places.get(place) or {}).get('name', place)
