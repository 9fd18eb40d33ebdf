"""`ua-overlay measure report`: the figures and numbers of a campaign."""
import argparse
import json
import os

from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import Progress

DESCRIPTION = """\
Make the report of a results directory: report.html (one file that opens without a network), report.pdf, the figures as
SVG, and the tables samples.csv and summary.csv. The command only reads the results; the same samples always give the
same report. Excluded and failed samples are listed with their reasons and appear in no figure."""

EPILOG = """\
needs: pip install -r requirements/analysis.txt (matplotlib, fpdf2; CSV needs neither). Do not install them on a robot.

examples:
  ua-overlay measure report results/campus
  ua-overlay measure report results/campus --output docs/results/campus
  ua-overlay measure report results/campus --place library --output library
  ua-overlay measure report results/campus --format csv --json"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('results', metavar='RESULTS', help='the directory that `measure run` wrote')
    parser.add_argument('--place', action='append', metavar='PLACE', help='only this place; repeatable (default: all)')
    parser.add_argument('--output', metavar='DIR', help='write the report to DIR (default: RESULTS/report)')
    parser.add_argument('--format', action='append', choices=('html', 'pdf', 'csv'), metavar='FORMAT',
                        help='only this format, repeatable: %(choices)s (default: all)')
    parser.add_json()
    parser.set_defaults(run=run_report)


def run_report(args: argparse.Namespace) -> int:
    from ua_overlay.measure.report.write import FORMATS, load, write
    data = load(args.results, args.place)
    output = args.output or os.path.join(args.results, 'report')
    with Progress()('Making the report of {} samples'.format(len(data.samples))):
        paths = write(data, output, args.format or FORMATS)
    if args.json:
        print(json.dumps({'samples': len(data.samples), 'used': len(data.good), 'left_out': len(data.left_out),
                          'files': paths}))
    else:
        print('\n'.join(paths))
        print('{} of {} samples are used, {} are left out.'.format(
            len(data.good), len(data.samples), len(data.left_out)))
    return 0
