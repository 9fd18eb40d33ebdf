"""From a results directory to report.html, report.pdf, samples.csv, summary.csv and figures/."""
import io
import json
import os

from ua_overlay.clock import from_unix, parse_rfc3339
from ua_overlay.errors import OverlayError
from ua_overlay.measure.campaign import run, sample
from ua_overlay.measure.report import csv, encryption, figures, html, pdf, text, video
from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report import parts as report_parts
from ua_overlay.system import files

HTML, PDF, CSV = FORMATS = ('html', 'pdf', 'csv')
_PNG_DPI = 170


class ReportError(OverlayError):
    """The results cannot be read, or the report not written."""

    code = 'MEASURE_REPORT'


def load(directory, only=None):
    """report_data.Data of a results directory.

    :param only: names of places that the report is of; None: all.
    :raises ReportError: naming the file that is none, or the place that is not there.
    :raises sample.SampleError: naming the line.
    """
    path = os.path.join(directory, run.DESCRIPTION)
    try:
        with open(path, encoding='utf-8') as stream:
            campaign = json.load(stream)
    except OSError as error:
        raise ReportError('{} cannot be read: {}. A results directory is what `ua-overlay measure run` leaves.'.format(
            path, error.strerror), 'ls -l ' + directory)
    except ValueError:
        campaign = None
    if not isinstance(campaign, dict):
        raise ReportError('{} is no description of a campaign.'.format(path), 'ls -l ' + directory)
    samples = sample.read(directory)
    there = sorted({each['place'] for each in samples})
    for name in only or ():
        if name not in there:
            raise ReportError('{} has no sample at {}; it has some at {}.'.format(
                directory, name, ', '.join(filter(None, there)) or 'no place with a name'),
                'ua-overlay measure report ' + directory)
    data = report_data.Data(samples, campaign, encryption.load(directory), only)
    if not data.good:
        raise ReportError('{} has no sample that can be used: {} were taken.'.format(directory, len(data.samples)),
                          'ua-overlay measure run --help')
    return data


def write(data, output, formats=FORMATS):
    """Write a report below ``output`` (made where missing), each file whole or not at all.

    :returns: the paths, in order.
    :raises ReportError: it cannot be written. :raises figures.ExtraError: a library is missing.
    """
    if HTML in formats or PDF in formats:
        figures.library()
    if PDF in formats:
        pdf.library()
    parts, title = video.added(text.parts(data), data), text.title(data)
    made = {}
    if CSV in formats:
        made.update({'samples.csv': csv.samples(data), 'summary.csv': csv.summary(data)})
    if HTML in formats or PDF in formats:
        svgs, pngs = _draw(parts, formats)
        if HTML in formats:
            made['report.html'] = html.page(title, parts, svgs, data.synthetic)
            made.update({os.path.join('figures', name + '.svg'): svg for name, svg in svgs.items()})
        if PDF in formats:
            made['report.pdf'] = pdf.document(title, parts, pngs, _started(data))
    try:
        os.makedirs(os.path.join(output, 'figures') if HTML in formats else output, exist_ok=True)
        for name, content in made.items():
            files.write_atomic(os.path.join(output, name), content)
    except OSError as error:
        raise ReportError('The report cannot be written to {}: {}.'.format(output, error.strerror), 'df ' + output)
    return [os.path.join(output, name) for name in made]


def _draw(parts, formats):
    """(name -> SVG, name -> PNG) of every picture."""
    svgs, pngs = {}, {}
    for item in (item for part in parts for item in part.items if isinstance(item, report_parts.Picture)):
        drawn = item.draw()
        if HTML in formats:
            svgs[item.name] = _saved(drawn, 'svg')
        if PDF in formats:
            pngs[item.name] = _saved(drawn, 'png')
    return svgs, pngs


def _saved(drawn, kind):
    stream = io.BytesIO()
    # Without the date the same samples give the same bytes.
    options = {'metadata': {'Date': None}} if kind == 'svg' else {'dpi': _PNG_DPI}
    with figures.library().rc_context(figures.STYLE):
        drawn.savefig(stream, format=kind, **options)
    return stream.getvalue()


def _started(data):
    """When the campaign began, as a datetime: the PDF gets the date of its data."""
    try:
        return parse_rfc3339(data.campaign['start'])
    except (KeyError, ValueError, TypeError):
        return from_unix(0)
