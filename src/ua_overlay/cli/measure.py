"""`ua-overlay measure`: the cost of the overlay, and the proof of its encryption."""
from ua_overlay.cli.shared.parser import CommandParser, from_module

DESCRIPTION = """\
Measure the overlay against the same network without it: throughput, round trips, loss, and ROS itself. Each sample
proves which path its bytes took. `encryption` proves that the overlay encrypts its traffic."""

EPILOG = """\
examples:
  ua-overlay measure run campus.yaml
  ua-overlay measure walk library campus.yaml
  ua-overlay measure monitor monitor.yaml
  ua-overlay measure report results/campus
  sudo ua-overlay measure encryption --output proof"""

#: Each command is the module cli/measure_NAME.py.
COMMANDS = ('run', 'walk', 'monitor', 'report', 'encryption')


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    for name in COMMANDS:
        parser.add_command(name, from_module('ua_overlay.cli.measure_' + name))
