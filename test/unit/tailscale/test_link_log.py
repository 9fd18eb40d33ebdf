"""The file of link records is bounded, survives damage, and is never a trap."""
import os

import pytest

from ua_overlay import link_types
from ua_overlay.tailscale import link_history, link_log
from ua_overlay.tailscale.link_history import LinkRecord
from ua_overlay.tailscale.link_log import LinkLog


def record(stamp):
    return LinkRecord(float(stamp), 'dev-2', link_types.DIRECT, link_types.DERP, reason='x' * 200)


def test_records_are_read_in_the_order_in_which_they_were_written(tmp_path):
    assert link_log.read(str(tmp_path)) == []
    log = LinkLog(str(tmp_path))
    for stamp in (1, 2, 3):
        log.append(record(stamp))
    LinkLog(str(tmp_path)).append(record(4))
    assert [each.stamp for each in link_log.read(str(tmp_path))] == [1.0, 2.0, 3.0, 4.0]


def test_the_file_stays_below_its_limit_and_keeps_the_newest(tmp_path):
    log = LinkLog(str(tmp_path))
    path = tmp_path / link_log.FILE_NAME
    longest = 0
    for stamp in range(3000):
        log.append(record(stamp))
        longest = max(longest, path.stat().st_size)
    stamps = [each.stamp for each in link_log.read(str(tmp_path))]
    assert longest <= link_log.LIMIT
    assert stamps == [float(stamp) for stamp in range(3000 - len(stamps), 3000)]
    assert len(stamps) >= link_history.LONGEST // 2


def test_a_line_that_was_cut_costs_one_record(tmp_path):
    log = LinkLog(str(tmp_path))
    log.append(record(1))
    with (tmp_path / link_log.FILE_NAME).open('ab') as stream:
        stream.write(b'{"stamp": 2, "peer": "de\n')
    log.append(record(3))
    assert [each.stamp for each in link_log.read(str(tmp_path))] == [1.0, 3.0]


@pytest.mark.parametrize('make', [os.mkdir, os.mkfifo, lambda path: os.symlink('/etc/passwd', path)])
def test_something_else_in_its_place_is_an_error(make, tmp_path):
    make(str(tmp_path / link_log.FILE_NAME))
    with pytest.raises(OSError):
        link_log.read(str(tmp_path))
    with pytest.raises(OSError):
        LinkLog(str(tmp_path)).append(record(1))


def test_round_trips_are_kept(tmp_path):
    assert link_log.read_round_trips(str(tmp_path)) == {}
    trips = {'dev-2': (link_types.DIRECT, 0.012), 'dev-3': (link_types.DERP, 0.08)}
    link_log.write_round_trips(str(tmp_path), trips)
    assert link_log.read_round_trips(str(tmp_path)) == trips


@pytest.mark.parametrize('text', ['', '[]', '{"dev-2": 5}', '{"dev-2": ["DIRECT"]}', '{"dev-2": [[], 0.1]}',
                                  '{"dev-2": ["RELAY", 0.1]}', '{"dev-2": ["DIRECT", "soon"]}'])
def test_damaged_round_trips_are_none(text, tmp_path):
    (tmp_path / link_log.ROUND_TRIPS).write_text(text)
    assert link_log.read_round_trips(str(tmp_path)) == {}
