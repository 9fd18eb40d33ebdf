"""The record of the links, as commands show it."""
import datetime

import pytest

from ua_overlay import link_types
from ua_overlay.cli.shared import link_record
from ua_overlay.cli.shared.link_record import Record, read_record, round_trip_text, since_text
from ua_overlay.errors import OverlayError
from ua_overlay.rosenv.envfile import Location
from ua_overlay.tailscale import link_log
from ua_overlay.tailscale.link_history import LinkRecord
from ua_overlay.tailscale.link_log import LinkLog
from ua_overlay.tailscale.model import Link

LINK = Link('dev-2', type=link_types.DIRECT)
NOW = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.timezone.utc)


@pytest.fixture
def directory(monkeypatch, tmp_path):
    monkeypatch.setattr(link_record.envfile, 'locate', lambda: Location(str(tmp_path), False))
    return tmp_path


def test_an_empty_record(directory):
    record = read_record()
    assert record.since(LINK) is None and record.round_trip(LINK) is None
    assert Record().since(LINK) is None


def test_what_the_node_recorded(directory):
    LinkLog(str(directory)).append(LinkRecord(5.0, 'dev-2', link_types.IDLE, link_types.DIRECT))
    link_log.write_round_trips(str(directory), {'dev-2': (link_types.DIRECT, 0.02)})
    record = read_record()
    assert (record.since(LINK), record.round_trip(LINK)) == (5.0, 0.02)
    assert record.round_trip(Link('dev-2', type=link_types.DERP)) is None


@pytest.mark.parametrize('name', [link_log.FILE_NAME, link_log.ROUND_TRIPS])
def test_an_unreadable_record_is_named(directory, name):
    (directory / name).mkdir()
    with pytest.raises(OverlayError) as caught:
        read_record()
    assert name in caught.value.sentence and caught.value.next_command == 'ls -l {}'.format(directory / name)


def test_texts():
    assert since_text(None, NOW) == '-' and since_text(NOW.timestamp() - 300, NOW) == '5 min'
    assert round_trip_text(None) == '-' and round_trip_text(0.01234) == '12.3 ms'
