"""Any text in a command line that people copy: a shell reads back that text, and no hidden character is printed."""
import shlex

from hypothesis import given
from hypothesis import strategies as st

from ua_overlay.advice import command


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)), st.integers())
def test_a_shell_gets_back_what_was_given(text, number):
    assert shlex.split(command('cat {} {}', text, number)) == ['cat', text, str(number)]


@given(st.text())
def test_no_hidden_character_reaches_the_terminal(text):
    line = command('cat {}', text)
    assert '\n' not in line and '\x1b' not in line and len(shlex.split(line)) == 2
