import pytest

from ua_overlay.digits import is_number


@pytest.mark.parametrize('text, number', [
    ('0', True), ('007', True), ('9' * 18, True), ('9' * 19, False), ('', False), ('-1', False), ('+1', False),
    ('1_0', False), (' 1', False), ('1\n', False), ('²', False), ('٣', False), ('1.0', False), ('0x1', False)])
def test_what_int_reads_as_it_is_written(text, number):
    assert is_number(text) == number
    if number:
        assert str(int(text)) == text.lstrip('0') or int(text) == 0


def test_the_longest_number_may_be_chosen():
    assert is_number('65535', 5) and not is_number('655350', 5)
