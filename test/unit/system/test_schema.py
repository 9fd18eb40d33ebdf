"""Values of a YAML text. Campaigns, topologies and site.yaml have their own tests."""
import re
import time

import pytest
import yaml

from ua_overlay.errors import UsageError
from ua_overlay.system import schema


class FileError(UsageError):
    code = 'FILE'


@pytest.mark.parametrize('text, words', [
    ('a: 1\nb: {c: 1, c: 2}\n', 'c is there twice, in lines 2 and 2'),
    ('a: 1\n\na: 2\n', 'a is there twice, in lines 1 and 3'),
    ('a: [\n', 'It is not YAML (line 2)'), ('a: 2026-13-45\n', 'It has an invalid value')])
def test_invalid_texts(text, words):
    with pytest.raises(schema.Invalid) as caught:
        schema.load(text)
    assert words in str(caught.value)


def test_valid_texts():
    assert schema.load('a: {b: [1, x]}\n1: {}\n') == {'a': {'b': [1, 'x']}, 1: {}}


def test_error_messages():
    with pytest.raises(FileError) as caught, schema.errors_as(FileError, 'my.yaml', 'edit it'):
        schema.number(1, 5)('tools.x', 7)
    assert (caught.value.sentence, caught.value.next_command) == (
        'my.yaml: tools.x: 7 is not a number from 1 to 5.', 'edit it')
    with pytest.raises(FileError) as caught, schema.errors_as(FileError):
        schema.version(2, 1)
    assert caught.value.sentence == 'version: 2 is not supported; this program reads version 1.'


@pytest.mark.parametrize('value, required, optional, words', [
    (None, ('a',), (), 'a mapping is needed, not None'), ([], (), None, 'a mapping is needed, not []'),
    ({'b': 1}, ('a',), ('b',), 'a is missing'), ({'a': 1, 'c': 1}, ('a',), ('b',), 'c is unknown; known are a, b'),
    ({1: 1}, (), ('b',), '1 is unknown; known are b')])
def test_invalid_sections(value, required, optional, words):
    with pytest.raises(schema.Invalid) as caught:
        schema.section('x', value, required, optional)
    assert str(caught.value) == 'x: {}.'.format(words)


def test_sections_and_lists():
    assert schema.section('x', None) == {} and schema.section('x', {1: 2}) == {1: 2}
    assert schema.section('x', {'a': 1}, ('a',), ('b',)) == {'a': 1}
    assert schema.listing('x', None) == [] and schema.listing('x', [1]) == [1]
    with pytest.raises(schema.Invalid, match='x: a list is needed, not 0'):
        schema.listing('x', 0)


@pytest.mark.parametrize('value, good', [(1, True), (65535, True), (0, False), (65536, False), (True, False),
                                         ('80', False), (80.0, False)])
def test_ports(value, good):
    assert schema.is_port(value) is good


NAME = schema.text(re.compile('[a-z]+'), 'a name')
HEX = schema.parsed(lambda text: int(text, 16), 'a hexadecimal number')


@pytest.mark.parametrize('reader, value, result', [
    (schema.number(0.5, 2), 1, 1.0), (schema.integer(0, 8, 4), 8, 8), (schema.choice(('a', 'b')), 'b', 'b'),
    (NAME, 'abc', 'abc'), (HEX, 'ff', 255), (HEX, 10, 16), (schema.flag, False, False),
    (schema.optional(NAME, ''), '', ''), (schema.optional(NAME, ''), 'a', 'a'),
    (schema.optional(HEX, None), None, None)])
def test_values(reader, value, result):
    read = reader('x', value)
    assert read == result and type(read) is type(result)


@pytest.mark.parametrize('reader, value, words', [
    (schema.number(0, 1), True, 'True is not a number from 0 to 1'), (schema.number(0, 1), '1', "'1' is not a number"),
    (schema.integer(0, 1), 0.5, '0.5 is not a whole number from 0 to 1'), (schema.integer(0, 9, 4), 6, 'multiple of 4'),
    (schema.integer(0, 1), True, 'True is not'), (schema.choice(('', 'b')), 'c', "'c' is not one of b"),
    (NAME, 'A', "'A' is not a name"), (NAME, 5, '5 is not a name'), (HEX, 'x', "'x' is not a hexadecimal number"),
    (schema.flag, 0, '0 is neither true nor false'), (schema.optional(NAME, ''), None, 'None is not a name'),
    (schema.optional(schema.number(1, 2), 0.0), False, 'False is not')])
def test_invalid_values(reader, value, words):
    with pytest.raises(schema.Invalid) as caught:
        reader('x.y', value)
    assert str(caught.value).startswith('x.y: ') and words in str(caught.value)


#: A mapping of ten merges, each of ten of the line before: 10**9 values.
MERGES = 'a0: &a0 {x: 1}\n' + ''.join(
    'a{0}: &a{0}\n  <<: [{1}]\n  y{0}: 1\n'.format(level, ', '.join(['*a{}'.format(level - 1)] * 10))
    for level in range(1, 10))
LAUGHS = 'a0: &a0 [x, x]\n' + ''.join(
    'a{0}: &a{0} [{1}]\n'.format(level, ', '.join(['*a{}'.format(level - 1)] * 10)) for level in range(1, 10))


@pytest.mark.fault('K4', 'site.yaml, a campaign or a topology is a YAML bomb',
                   behaviour='the command refuses the file', reported='within 1 s', recovery='with the next valid file',
                   lost='nothing')
@pytest.mark.parametrize('text, words', [
    (MERGES, 'more than 20000 values'), (LAUGHS, 'more than 20000 values'), ('[' * 500000, 'nested deeper than 40'),
    ('- ' * 250000, 'nested deeper than 40'), ('{a: ' * 100000, 'nested deeper than 40'),
    ('- 1\n' * 100000, 'more than 20000 values'), ('a: b\n' * 1000000, 'longer than 524288 characters'),
    ('a: &a [*a]\n', 'contains itself'), ('a: ' + '1' * 400000, 'invalid value'), ('a: 1' + ':1' * 200000, 'invalid'),
    ('a: ' + '1' * 400000 + '.0e+9', 'invalid value'), ('a: "\\UFFFFFFFF"', 'invalid value'),
    ('a: 0x_', 'invalid value'),
    ('? [a]\n: 1\n', 'It is not YAML'), ('a: !!python/object/apply:os.getpid []', 'It is not YAML'),
    ('%YAML ' + '9' * 400000 + '.1\n--- a\n', 'It '), ('"\x00"', 'It is not YAML')], ids=lambda value: value[:12])
def test_a_bomb_costs_a_second_at_most(text, words):
    start = time.process_time()
    with pytest.raises(schema.Invalid, match=words):
        schema.load(text)
    assert time.process_time() - start < 1


def test_aliases_work_within_the_limits():
    assert schema.load('a: &a {b: 1}\nc: {<<: *a, d: 2}\ne: *a\n') == {
        'a': {'b': 1}, 'c': {'b': 1, 'd': 2}, 'e': {'b': 1}}


def test_a_value_in_an_error_is_short_and_printable():
    with pytest.raises(schema.Invalid) as caught:
        schema.section('teams.\x1b[2J', ['\x1b[2J\n'] * 5000)
    assert len(str(caught.value)) < 200 and str(caught.value).isprintable()


@pytest.mark.parametrize('text', ['a: [\n', '"\\UFFFFFFFF"', '[' * 5000, 'a: ' + 'x' * 600000])
def test_events_of_an_invalid_text(text):
    with pytest.raises(schema.Invalid):
        for event in schema.events(text):
            if isinstance(event, yaml.SequenceStartEvent) and len(text) == 5000:
                raise schema.Invalid('the reader stops')


def test_events():
    assert [type(event).__name__ for event in schema.events('a: 1')] == [
        'StreamStartEvent', 'DocumentStartEvent', 'MappingStartEvent', 'ScalarEvent', 'ScalarEvent', 'MappingEndEvent',
        'DocumentEndEvent', 'StreamEndEvent']
