import argparse

import pytest

from ua_overlay.cli.shared import args


def lifetime(text):
    parser = argparse.ArgumentParser()
    args.add_expires(parser, 'key')
    return parser.parse_args(['--expires=' + text]).expires


@pytest.mark.parametrize('text, seconds', [('90', 90), ('90s', 90), ('30m', 1800), ('1h', 3600), ('1.5h', 5400),
                                           ('2d', 172800), ('90d', 90 * 86400)])
def test_lifetimes(text, seconds):
    assert lifetime(text) == seconds


@pytest.mark.parametrize('text', ['', 'h', '1w', '-1h', '59', '0', '91d', 'one', '\u0661h', '\u00b2h'])
def test_lifetimes_that_are_refused(text, capsys):
    with pytest.raises(SystemExit):
        lifetime(text)
    assert 'argument --expires: {!r} is not'.format(text) in capsys.readouterr().err or text in ('59', '0')


@pytest.mark.parametrize('environ, uid, gid, owner', [
    ({}, 0, 0, (0, 0)), ({'SUDO_UID': '1000', 'SUDO_GID': '1001'}, 0, 0, (1000, 1001)),
    # Not root: whatever the environment says, nothing can be given away.
    ({'SUDO_UID': '1000', 'SUDO_GID': '1001'}, 1002, 1002, (1002, 1002)),
    ({'SUDO_UID': '-1', 'SUDO_GID': '1001'}, 0, 0, (0, 0)), ({'SUDO_UID': '1000'}, 0, 0, (0, 0))])
def test_who_asked(environ, uid, gid, owner):
    assert args.asker(environ, uid, gid) == owner
