import datetime

import pytest

from ua_overlay.cli.shared import args

NOW = datetime.datetime(2026, 1, 10, tzinfo=datetime.timezone.utc)


@pytest.mark.parametrize('text, seconds', [('90', 90), ('90s', 90), ('30m', 1800), ('1h', 3600), ('2d', 172800)])
def test_durations(text, seconds):
    assert args.duration(text) == seconds


@pytest.mark.parametrize('text', ['', 'h', '1w', '-1h', '1.5h', '59', '0', '91d', 'one', '\u0661h', '\u00b2h'])
def test_durations_that_are_none(text):
    with pytest.raises(ValueError):
        args.duration(text)


@pytest.mark.parametrize('seconds, text', [(0, '0 s'), (119, '119 s'), (120, '2 min'), (7200, '2 h'), (200000, '2 d'),
                                           (-5, '0 s')])
def test_how_long_ago(seconds, text):
    assert args.ago(NOW - datetime.timedelta(seconds=seconds), NOW) == text


def test_never():
    assert args.ago(None, NOW) == '-'


@pytest.mark.parametrize('environ, uid, gid, owner', [
    ({}, 0, 0, (0, 0)), ({'SUDO_UID': '1000', 'SUDO_GID': '1001'}, 0, 0, (1000, 1001)),
    # Not root: whatever the environment says, nothing can be given away.
    ({'SUDO_UID': '1000', 'SUDO_GID': '1001'}, 1002, 1002, (1002, 1002)),
    ({'SUDO_UID': '-1', 'SUDO_GID': '1001'}, 0, 0, (0, 0)), ({'SUDO_UID': '1000'}, 0, 0, (0, 0))])
def test_who_asked(environ, uid, gid, owner):
    assert args.asker(environ, uid, gid) == owner
