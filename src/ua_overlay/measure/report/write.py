"""Make report.html, report.pdf, samples.csv, summary.csv and figures/ from a results directory."""
import datetime
import io
import os
from typing import Dict, List, Optional, Sequence, Tuple, Union

from ua_overlay.advice import command
from ua_overlay.clock import from_unix, parse_rfc3339
from ua_overlay.errors import OverlayError
from ua_overlay.measure.campaign import run, store
from ua_overlay.measure.report import contents, csv, encryption, figures, html, pdf
from ua_overlay.measure.report.data import Data
from ua_overlay.measure.report.parts import Figure, Part, Picture
from ua_overlay.system import files, foreign_file, foreign_json

HTML, PDF, CSV = FORMATS = ('html', 'pdf', 'csv')
_PNG_DPI = 170


class ReportError(OverlayError):
    """The results cannot be read, or the report cannot be written."""

    code = 'MEASURE_REPORT'


def load(directory: str, only: Optional[Sequence[str]] = None) -> Data:
    """Read a results directory.

    :param only: names of the places that the report is limited to; None for all.
    :raises ReportError: naming the unusable file or the unknown place.
    :raises SampleError: naming the line.
    """
    path = os.path.join(directory, run.DESCRIPTION)
    try:
        campaign = foreign_json.parse(foreign_file.read(path).data)
    except OSError as error:
        raise ReportError('{} cannot be read: {}. `ua-overlay measure run` makes results directories.'.format(
            path, error.strerror), command('ls -l {}', directory))
    except ValueError:
        campaign = None
    if not run.is_description(campaign):
        raise ReportError('{} does not describe a campaign.'.format(path), command('ls -l {}', directory))
    samples = store.read(directory)
    there = sorted({each.place for each in samples})
    for name in only or ():
        if name not in there:
            raise ReportError('{} has no sample at {}; it has some at {}.'.format(
                directory, name, ', '.join(filter(None, there)) or 'no place with a name'),
                command('ua-overlay measure report {}', directory))
    data = Data(samples, campaign, encryption.load(directory), only)
    if not data.good:
        raise ReportError('{} has no sample that can be used: {} were taken.'.format(directory, len(data.samples)),
                          'ua-overlay measure run --help')
    return data


def write(data: Data, output: str, formats: Sequence[str] = FORMATS) -> List[str]:
    """Write a report below ``output``, each file atomically; make the directory where it is missing.

    :returns: the paths, in order.
    :raises ReportError: it cannot be written. :raises figures.ExtraError: a library is missing.
    """
    if HTML in formats or PDF in formats:
        figures.library()
    if PDF in formats:
        pdf.library()
    made: Dict[str, Union[str, bytes]] = {}
    if CSV in formats:
        made.update({'samples.csv': csv.samples(data), 'summary.csv': csv.summary(data)})
    if HTML in formats or PDF in formats:
        title, parts = contents.title(data), [part for _, part in contents.parts(data)]
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
        raise ReportError('The report cannot be written to {}: {}.'.format(output, error.strerror),
        command('df {}', output))
    return [os.path.join(output, name) for name in made]


def _draw(parts: Sequence[Part], formats: Sequence[str]) -> Tuple[Dict[str, bytes], Dict[str, bytes]]:
    """(name -> SVG, name -> PNG) of every picture."""
    svgs, pngs = {}, {}
    for item in (item for part in parts for item in part.items if isinstance(item, Picture)):
        drawn = item.draw()
        if HTML in formats:
            svgs[item.name] = _saved(drawn, 'svg')
        if PDF in formats:
            pngs[item.name] = _saved(drawn, 'png')
    return svgs, pngs


def _saved(drawn: Figure, kind: str) -> bytes:
    stream = io.BytesIO()
    with figures.library().rc_context(figures.STYLE):
        if kind == 'svg':
            # Without the date, the same samples give the same bytes.
            drawn.savefig(stream, format=kind, metadata={'Date': None})
        else:
            drawn.savefig(stream, format=kind, dpi=_PNG_DPI)
    return stream.getvalue()


def _started(data: Data) -> datetime.datetime:
    """When the campaign began: the PDF gets the date of its data."""
    try:
        return parse_rfc3339(data.campaign['start'])
    except (KeyError, ValueError, TypeError):
        return from_unix(0)
