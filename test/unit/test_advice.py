"""Values in the command lines that people copy."""
import pytest

from ua_overlay.advice import command, quoted


@pytest.mark.parametrize('value, expected', [
    ('dev-1', 'dev-1'), ('/var/lib/ua_overlay/site', '/var/lib/ua_overlay/site'), (11312, '11312'),
    ('/media/usb stick/dev 1.yaml', "'/media/usb stick/dev 1.yaml'"), ('$HOME', "'$HOME'"), ('', "''"),
    ('a;reboot', "'a;reboot'"), ("it's", "'it'\"'\"'s'")])
def test_one_value_is_one_word(value, expected):
    assert quoted(value) == expected
    assert command('ua-overlay join {}', value) == 'ua-overlay join ' + expected
