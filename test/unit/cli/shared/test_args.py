"""Options and values that several commands share."""
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
def test_invalid_lifetimes(text, capsys):
    with pytest.raises(SystemExit):
        lifetime(text)
    assert 'argument --expires: {!r} is not'.format(text) in capsys.readouterr().err or text in ('59', '0')


@pytest.mark.parametrize('text, number', [('30d', 30), ('30', 30), ('1', 1)])
def test_days(text, number):
    assert args.days(text) == number


@pytest.mark.parametrize('text', ['', 'd', '0', '-3', '1.5', '30h', '10000', '\u0663'])
def test_invalid_days(text):
    with pytest.raises(argparse.ArgumentTypeError, match='is not a number of days'):
        args.days(text)


@pytest.mark.parametrize('text, value', [('30', 30), ('0.5', 0.5), ('0', 0), ('1e3', 1000)])
def test_seconds(text, value):
    assert args.seconds(text) == value


@pytest.mark.parametrize('text', ['', 'x', '-1', 'nan', 'inf', '-inf', '1e999', '30s'])
def test_invalid_seconds(text):
    with pytest.raises(argparse.ArgumentTypeError, match='is not a number of seconds'):
        args.seconds(text)
