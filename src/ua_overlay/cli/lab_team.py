"""`ua-overlay lab team`: a site and a team in a running lab."""
import argparse
import json
import os
import sys

from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.lab import team as teams
from ua_overlay.lab.fleet import Fleet
from ua_overlay.lab.lab import DEFAULT_NAME, Lab

DESCRIPTION = """\
Set up a site and a team in a running lab with the commands that a person would type on its hosts: `server init` and
`server run` on the host `server` (with forwarding rules on its router, if it has one), `team create`, and for each
robot `invite`, `robot prepare` and `join`. Repeat the command to add what is missing."""

EPILOG = """\
examples:
  sudo ua-overlay lab up config/lab/campus.yaml --name campus
  sudo ua-overlay lab team --name campus
  sudo ua-overlay lab team --robot dev-1 --robot dev-2 --master dev-1 \\
      --launch --workspace ~/catkin_ws/install"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('--name', default=DEFAULT_NAME, help='name of the lab (default: %(default)s)')
    parser.add_argument('--team', default='iris', help='name of the team (default: %(default)s)')
    parser.add_argument('--robot', action='append', metavar='ROBOT',
                        help='only this robot; repeatable (default: every robot of the topology)')
    parser.add_argument('--master', default='', metavar='ROBOT', help='the robot that becomes the team master')
    parser.add_argument('--launch', action='store_true',
                        help='also start overlay.launch on each robot; the ROS tools of `measure run` need it')
    parser.add_argument('--workspace', metavar='DIR', help='with --launch: install space with setup.bash')
    parser.add_argument('--daemon-env', action='append', default=[], metavar='NAME=VALUE',
                        help="environment variable of the robots' tailscaled, as in /etc/default/tailscaled on a "
                             'robot; repeatable')
    parser.add_json()
    parser.set_defaults(run=run_team)


def run_team(args: argparse.Namespace) -> int:
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
