"""The first part of a report: the measurements, their places, and the versions and settings. Pure."""
from typing import Dict, List, Mapping, Optional, Set, Tuple

from ua_overlay.measure.campaign.sample import Sample
from ua_overlay.measure.report.data import Data
from ua_overlay.measure.report.numbers import number_text
from ua_overlay.measure.report.parts import Item, Part, Table


def part(data: Data) -> Part:
    campaign = data.campaign
    machine = campaign.get('machine') or {}
    items: List[Item] = []
    if data.synthetic:
        items.append('SYNTHETIC: a test made these numbers up. Nobody measured them.')
    if data.only:
        items.append('Of {} places of the campaign this report has {}.'.format(
            len(data.places), ' and '.join(map(data.place_title, data.only))))
    items.append('{} samples were taken, {} of them are used here; started {}, last {}.'.format(
        len(data.samples), len(data.good), campaign.get('start', '?'),
        max((each.started for each in data.samples), default='?')))
    if data.emulated:
        items += _emulated(data.samples)
    else:
        items.append('The links were those of the hosts; nothing emulated them.')
    facts = [('machine that ran the campaign', machine.get('hostname')), ('processors', machine.get('processors')),
             ('kernel', campaign.get('kernel')), ('error of the clocks / ms', campaign.get('clock_error_ms'))]
    facts += _versions(campaign.get('versions') or {})
    facts += _settings(data.good)
    items.append(Table('Where and with what', ('', ''), tuple((name, number_text(value)) for name, value in facts)))
    return Part('What was measured', tuple(items))


def _emulated(samples: List[Sample]) -> List[Item]:
    items: List[Item] = [
        'These links are EMULATED: all hosts are name spaces of one machine, which share its processors. A program '
        'delays, drops and reorders packets, and the kernel limits the rate, as the campaign says. So differences and '
        'ratios inside this report hold for links of this shape; absolute numbers are those of the emulator and this '
        'machine, not of a campus, of its Wi-Fi or of a robot.']
    rows = sorted({(host, ', '.join('{} {}'.format(*item) for item in sorted(shape.items())))
                   for each in samples for host, shape in each.link.items()})
    if rows:
        items.append(Table('Shapes of the emulated links; a delay counts in each direction', ('host', 'link'),
                           tuple(rows)))
    return items


def _versions(versions: Mapping[str, Mapping[str, str]]) -> List[Tuple[str, str]]:
    """[(program and the hosts with this version, version)]. :param versions: {host: {program: version}}."""
    hosts: Dict[Tuple[str, str], List[str]] = {}
    for host, programs in sorted(versions.items()):
        for program, version in sorted(programs.items()):
            hosts.setdefault((program, version), []).append(host)
    return [('{} on {}'.format(program, ', '.join(names)), version)
            for (program, version), names in sorted(hosts.items())]


def _settings(samples: List[Sample]) -> List[Tuple[str, str]]:
    """[(tool, its settings in words)]; the MTU, which differs between raw and overlay, comes last."""
    mtus: Dict[Tuple[str, str], Set[Optional[int]]] = {}
    for each in samples:
        words = ', '.join(
            '{} {}'.format(key, int(value) if isinstance(value, float) and value.is_integer() else value)
            for key, value in sorted(each.settings.items()) if key != 'mtu' and value not in (None, ''))
        mtus.setdefault((each.tool, words), set()).add(each.settings.get('mtu'))
    rows = []
    for (tool, words), of_both in sorted(mtus.items()):
        known = sorted(mtu for mtu in of_both if mtu is not None)
        mtu_words = 'MTU {}'.format(' or '.join(map(str, known))) if known else ''
        rows.append(('settings of ' + tool, ', '.join(filter(None, [words, mtu_words]))))
    return rows
