"""The part of a report on processors: how busy both ends were during the samples. Pure."""
import statistics
from typing import Optional

from ua_overlay.measure.report.data import Data
from ua_overlay.measure.report.numbers import number_text
from ua_overlay.measure.report.parts import Part, Table
from ua_overlay.measure.tools.registry import TOOLS

_ENDS = ('source_percent', 'target_percent')


def part(data: Data) -> Optional[Part]:
    """The Part; None when no sample has processor times."""
    rows = []
    for group in data.groups:
        of_ends = [[percent for percent in (each.cpu.get(end) for each in group.samples) if percent is not None]
                   for end in _ENDS]
        if any(of_ends):
            rows.append((TOOLS[group.tool].title, group.variant or '-', data.place_name(group), group.label,
                         str(len(group.samples))) + tuple(
                             number_text(float(statistics.median(values))) if values else '-' for values in of_ends))
    if not rows:
        return None
    sentence = ('Busy share of all processors of the machine together, median of the repetitions; waiting for a disk '
                'does not count. It includes everything that ran there, the measuring programs as well.')
    if data.emulated:
        sentence += (' Here both ends, the relays and the emulator are one machine: both sides show its value, and a '
                     'value near 100 means that processors, not links, set the limit.')
    return Part('Processors', (sentence, Table('Busy processors at both ends / %', (
        '', 'settings', 'place', 'link', 'n', 'source', 'target'), tuple(rows))))
