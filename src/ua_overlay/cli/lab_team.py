"""`ua-overlay lab team`: a site and a team in a lab that is up."""
import argparse
import json
import os
import sys

from ua_overlay.cli.shared.progress import Progress

DESCRIPTION = """\
Do on the hosts of a running lab what a person would type there: `server init` and `server run` on the host `server`
(behind a router: with the forwarding rules on that), a team, and for each robot an invitation, `robot prepare` and
`join`. Repeating it adds what is missing."""

EPILOG = """\
examples:
  sudo ua-overlay lab up config/lab/campus.yaml --name campus
  sudo ua-overlay lab team --name campus
  sudo ua-overlay lab team --robot dev-1 --robot dev-2 --master dev-1 --launch --workspace ~/catkin_ws/install"""


def add_team_parser(commands):
    parser = commands.add_parser('team', help='a site, and its robots in a team', description=DESCRIPTION,
                                 epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--name', default='lab', help='which lab (default: %(default)s)')
    parser.add_argument('--team', default='iris', help='name of the team (default: %(default)s)')
    parser.add_argument('--robot', action='append', metavar='ROBOT', help='only this one; may be repeated '
                        '(default: every robot of the topology)')
    parser.add_argument('--master', default='', metavar='ROBOT', help='the robot that becomes the team\'s ROS master')
    parser.add_argument('--launch', action='store_true', help='start overlay.launch on each of the robots too: '
                        'what ROS needs, also that of `measure run`')
    parser.add_argument('--workspace', metavar='DIR', help='install space with setup.bash, for --launch')
    parser.add_argument('--daemon-env', action='append', default=[], metavar='NAME=VALUE',
                        help='more for the environment of the robots\' tailscaled, as in /etc/default/tailscaled on a '
                        'robot; may be repeated')
    parser.add_argument('--json', action='store_true', help='for programs')
    parser.set_defaults(run=run_team)


def run_team(args):
    from ua_overlay.lab import team as teams
    from ua_overlay.lab.fleet import Fleet
    from ua_overlay.lab.lab import Lab
    lab = Lab.attach(args.name)
    robots = teams.chosen(lab.topology, args.robot)
    workspace = os.path.abspath(args.workspace) if args.workspace else None
    fleet = Fleet(lab, workspace, command=None if workspace else os.path.realpath(sys.argv[0]),
                  daemon_environment=teams.environment_of(args.daemon_env))
    teams.bring_up(teams.Team(fleet, args.team), robots, Progress(), args.master, robots if args.launch else ())
    if args.json:
        print(json.dumps(fleet.robots()))
    else:
        print(fleet.site('robot', 'list').stdout, end='')
    return 0
