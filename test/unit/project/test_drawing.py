"""docs/rooms.svg is up to date: `make drawing` writes it again."""
import os
import xml.etree.ElementTree

import drawing
import pytest
import rooms
from paths import ROOT

#: Sizes are figures for a reader: the drawing need not follow every line.
MAY_DIFFER = 0.25


def committed():
    with open(os.path.join(ROOT, 'docs', 'rooms.svg'), encoding='utf-8') as stream:
        return stream.read()


def test_rooms_and_arrows_are_those_of_the_imports():
    svg = committed()
    sizes = drawing.sizes_in(svg)
    assert set(sizes) == set(rooms.sizes()), 'Next: make drawing'
    assert drawing.draw(rooms.reduced(rooms.arrows()), sizes) == svg, 'Next: make drawing'


@pytest.mark.parametrize('room', sorted(rooms.sizes()))
def test_sizes_are_up_to_date(room):
    drawn, real = drawing.sizes_in(committed()).get(room, (0, 0)), rooms.sizes()[room]
    assert abs(drawn[0] - real[0]) <= max(2, MAY_DIFFER * real[0]), 'Next: make drawing'
    assert abs(drawn[1] - real[1]) <= max(200, MAY_DIFFER * real[1]), 'Next: make drawing'


def test_the_drawing_is_well_formed_and_loads_nothing():
    svg = committed()
    assert xml.etree.ElementTree.fromstring(svg).tag == '{http://www.w3.org/2000/svg}svg'
    assert svg.count('http') == 1 and '<image' not in svg and '<script' not in svg


@pytest.mark.parametrize('room', sorted(drawing.ROOMS))
def test_a_purpose_fits_into_its_box(room):
    column, purpose = drawing.ROOMS[room]
    assert column == 'all' or len(drawing.wrapped(purpose)) <= 2


def arrows(**targets):
    return {room: set(others.split()) for room, others in targets.items()}


def test_implied_arrows_are_omitted():
    assert rooms.reduced(arrows(a='b c d', b='c', c='d', d='', e='a d')) == arrows(a='b', b='c', c='d', d='', e='a')


def test_every_arrow_points_down():
    rows = drawing.row_of(arrows(system='', trust='system', wire='', lab='wire', cli='lab trust'))
    assert rows == {'system': 1, 'trust': 2, 'wire': 2, 'lab': 3, 'cli': 4}


def test_every_import_between_rooms_has_a_line():
    targets = arrows(system='', trust='system', firewall='system', tailscale='firewall', headscale='trust',
                     membership='tailscale trust', cli='membership headscale')
    layout = drawing.Layout(targets)
    assert len(layout.heads) == 7  # one for each room below cli/, and a second one for system/
    for bundle in layout.bundles:
        for points in bundle:
            assert all(below[1] >= above[1] for above, below in zip(points, points[1:]))
            for left, top, width, height in layout.boxes.values():
                assert not any(left < x < left + width and top < (above + below) / 2 < top + height
                               for (x, above), (other, below) in zip(points, points[1:]) if x == other)


def test_crossings_depend_on_the_order_of_bends():
    bundles = {'a': (0, [50]), 'b': (20, [60])}
    assert drawing.crossings(('a', 'b'), bundles) == 0 and drawing.crossings(('b', 'a'), bundles) == 2


def test_the_shape_of_a_line():
    assert drawing.path([(0, 0), (0, 20), (30, 20), (30, 40)]) == \
        'M0 0L0 14Q0 20 6 20L24 20Q30 20 30 26L30 40'
    assert drawing.size_text(1, 65) == '1 file, 100 lines' and drawing.size_text(12, 1345) == '12 files, 1,300 lines'
