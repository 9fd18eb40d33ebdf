"""Errors that a person reads."""
from ua_overlay.errors import OverlayError, UsageError


def test_the_sentence_and_the_next_command():
    error = OverlayError('It is so.', 'do this')
    assert str(error) == 'It is so. Next: do this'
    assert (error.sentence, error.next_command, error.code, error.exit_status) == ('It is so.', 'do this', 'ERROR', 1)
    assert str(OverlayError('It is so.')) == 'It is so.'


def test_a_code_is_the_classes_or_the_instances():
    assert OverlayError('a', code='BUSY').code == 'BUSY'
    assert OverlayError('a').code == 'ERROR'
    assert (UsageError('a').code, UsageError('a').exit_status) == ('USAGE', 2)
    assert UsageError('a', code='X').code == 'X' and UsageError.code == 'USAGE'


def test_a_sentence_that_grew_is_shown_whole():
    error = OverlayError('One.', 'do this')
    error.sentence += ' Two.'
    assert str(error) == 'One. Two. Next: do this'
