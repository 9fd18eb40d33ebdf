"""`ua-overlay measure`: what the overlay costs, and whether it does what it says."""
import argparse
import importlib

DESCRIPTION = """\
Measure the overlay against the network without it (throughput, round trips, loss, ROS itself), each sample with a proof
which way its bytes went; and whether the overlay does what it says."""

EPILOG = """\
examples:
  ua-overlay measure run campus.yaml
  ua-overlay measure walk library campus.yaml
  ua-overlay measure monitor monitor.yaml
  ua-overlay measure report results/campus
  sudo ua-overlay measure encryption --output proof"""

#: Modules of this package with the commands, in the order of --help.
COMMANDS = ('measure_run', 'measure_walk', 'measure_monitor', 'measure_report', 'measure_encryption')


def add_parser(subparsers):
    raw = {'formatter_class': argparse.RawDescriptionHelpFormatter}
    group = subparsers.add_parser('measure', help='measure the overlay: campaigns, reports, proof of encryption',
                                  description=DESCRIPTION, epilog=EPILOG, **raw)
    commands = group.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for module in COMMANDS:
        importlib.import_module('ua_overlay.cli.' + module).add_command(commands)
