"""`ua-overlay measure report`: the figures and numbers of a campaign."""
import argparse
import json
import os

from ua_overlay.cli.shared.progress import Progress

DESCRIPTION = """\
Make the report of a results directory: report.html (one file, opens without a network), report.pdf, the figures as SVG,
and two tables, samples.csv and summary.csv. The results are only read; the report is made anew each time, and the same
samples give the same report. What was excluded or failed is listed with its reason and is in no figure."""

EPILOG = """\
needs: pip install -r requirements/analysis.txt   (matplotlib, fpdf2; not on a robot; CSV alone needs neither)

examples:
  ua-overlay measure report results/campus
  ua-overlay measure report results/campus --output docs/results/campus
  ua-overlay measure report results/campus --place library --output results/library
  ua-overlay measure report results/campus --format csv --json"""


def add_command(commands):
    parser = commands.add_parser('report', help='figures and numbers of a campaign: HTML, PDF, CSV',
                                 description=DESCRIPTION, epilog=EPILOG,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', metavar='RESULTS', help='the directory that `measure run` wrote')
    parser.add_argument('--place', action='append', metavar='PLACE', help='only of this place; may be given again '
                        '(default: all)')
    parser.add_argument('--output', metavar='DIR', help='where the report goes (default: RESULTS/report)')
    parser.add_argument('--format', action='append', choices=('html', 'pdf', 'csv'), metavar='FORMAT',
                        help='html, pdf or csv; may be given again (default: all)')
    parser.add_argument('--json', action='store_true', help='paths and counts for programs')
    parser.set_defaults(run=run_report)


def run_report(args):
    from ua_overlay.measure.report import report
    data = report.load(args.results, args.place)
    output = args.output or os.path.join(args.results, 'report')
    with Progress()('Making the report of {} samples'.format(len(data.samples))):
        paths = report.write(data, output, args.format or report.FORMATS)
    if args.json:
        print(json.dumps({'samples': len(data.samples), 'used': len(data.good), 'left_out': len(data.left_out),
                          'files': paths}))
    else:
        print('\n'.join(paths))
        print('{} of {} samples are used, {} left out.'.format(len(data.good), len(data.samples), len(data.left_out)))
    return 0
