"""The part of a report on processors: how busy both ends were meanwhile. Pure."""
import statistics

from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report.parts import Part, Table, text

_ENDS = ('source_percent', 'target_percent')
_TOOLS = {report_data.TCP: 'TCP', report_data.UDP: 'UDP', report_data.PING: 'round trips',
          report_data.TOPIC: 'ROS topic', report_data.SERVICE: 'ROS service', report_data.VIDEO: 'video'}


def part(data):
    """The Part of a report_data.Data; None when no sample says anything."""
    rows = []
    for group in data.groups:
        found = [[each['cpu'][key] for each in group.samples if each['cpu'].get(key) is not None] for key in _ENDS]
        if any(found):
            rows.append((_TOOLS.get(group.tool, group.tool), group.variant or '-', data.place_name(group),
                         group.label, str(len(group.samples))) + tuple(
                             text(float(statistics.median(values))) if values else '-' for values in found))
    if not rows:
        return None
    said = ('Busy share of all processors of the machine together, median of the repetitions; waiting for a disk does '
            'not count. It counts all that ran there, the measuring programs as well.')
    if data.emulated:
        said += (' Here both ends, the relays and the emulator are one machine: its value stands on both sides, and '
                 'one near 100 means that processors, not links, set the limit.')
    return Part('Processors', (said, Table('Busy processors at both ends / %', (
        '', 'settings', 'place', 'link', 'n', 'source', 'target'), tuple(rows))))
