"""Values in the command lines that people copy."""
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ua_overlay.advice import command, quoted


@pytest.mark.parametrize('value, expected', [
    ('dev-1', 'dev-1'), ('/var/lib/ua_overlay/site', '/var/lib/ua_overlay/site'), (11312, '11312'),
    ('/media/usb stick/dev 1.yaml', "'/media/usb stick/dev 1.yaml'"), ('$HOME', "'$HOME'"), ('', "''"),
    ('a;reboot', "'a;reboot'"), ("it's", "'it'\"'\"'s'")])
def test_one_value_is_one_word(value, expected):
    assert quoted(value) == expected
    assert command('ua-overlay join {}', value) == 'ua-overlay join ' + expected


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)), st.integers())
def test_a_shell_gets_back_what_was_given(text, number):
    assert shlex.split(command('cat {} {}', text, number)) == ['cat', text, str(number)]


@given(st.text())
def test_no_hidden_character_reaches_the_terminal(text):
    line = command('cat {}', text)
    assert '\n' not in line and '\x1b' not in line and len(shlex.split(line)) == 2
