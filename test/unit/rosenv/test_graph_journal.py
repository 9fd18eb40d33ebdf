"""What is replayed is what the master had of this robot: every registration once, parameters by the last word."""
import pytest

from ua_overlay.rosenv import graph_journal
from ua_overlay.rosenv.graph_journal import GraphJournal, JournalFull, dump, load, resolved

TALKER, TALKER_API = '/talker', 'http://dev-1.overlay.internal:41001/'
LISTENER, LISTENER_API = '/listener', 'http://dev-1.overlay.internal:41002/'


def journal_of(*calls):
    journal = GraphJournal()
    for number, (method, *arguments) in enumerate(calls):
        journal.apply(method, arguments, float(number))
    return journal


def publish(topic='/chatter', caller=TALKER, api=TALKER_API):
    return 'registerPublisher', caller, topic, 'std_msgs/String', api


def subscribe(topic='/chatter', caller=LISTENER, api=LISTENER_API):
    return 'registerSubscriber', caller, topic, 'std_msgs/String', api


def test_everything_is_replayed_publishers_before_subscribers():
    calls = [subscribe(), publish(), ('registerService', TALKER, '/add', 'rosrpc://dev-1:5', TALKER_API),
             ('subscribeParam', LISTENER, LISTENER_API, '/rate'), ('setParam', TALKER, '/rate', 10)]
    replayed = [(method,) + arguments for method, arguments in journal_of(*calls).replay()]
    assert replayed == [calls[4], calls[2], calls[1], calls[0], calls[3]]


def test_what_was_unregistered_is_not_replayed():
    journal = journal_of(
        publish(), subscribe(), ('registerService', TALKER, '/add', 'rosrpc://dev-1:5', TALKER_API),
        ('subscribeParam', LISTENER, LISTENER_API, '/rate'),
        ('unregisterPublisher', TALKER, '/chatter', TALKER_API),
        ('unregisterSubscriber', LISTENER, '/chatter', LISTENER_API),
        ('unregisterService', TALKER, '/add', 'rosrpc://dev-1:5'),
        ('unsubscribeParam', LISTENER, LISTENER_API, '/rate'))
    assert journal.replay() == [] and len(journal) == 0


def test_an_unregistration_by_somebody_else_changes_nothing():
    journal = journal_of(publish(), ('unregisterPublisher', TALKER, '/chatter', 'http://elsewhere:1/'),
                         ('unregisterPublisher', LISTENER, '/chatter', TALKER_API))
    assert len(journal.replay()) == 1


def test_a_node_that_takes_a_name_over_ends_the_registrations_of_the_first():
    again = 'http://dev-1.overlay.internal:49999/'
    journal = journal_of(publish(), publish('/other'), publish(api=again))
    assert journal.caller_apis() == [again] and len(journal.replay()) == 1


def test_callers_that_are_gone_are_forgotten_and_what_they_set_stays():
    journal = journal_of(publish(), subscribe(), ('setParam', TALKER, '/rate', 10))
    assert journal.forget([TALKER_API]) and not journal.forget([TALKER_API])
    assert [method for method, _ in journal.replay()] == ['setParam', 'registerSubscriber']


def test_a_repeated_registration_is_kept_once():
    journal = GraphJournal()
    method, *arguments = publish()
    assert journal.apply(method, arguments, 0.0) and not journal.apply(method, arguments, 1.0)
    assert len(journal) == 1


@pytest.mark.parametrize('calls, left', [
    ([('setParam', TALKER, '/a', 1), ('setParam', TALKER, '/a', 2)], [('setParam', (TALKER, '/a', 2))]),
    ([('setParam', TALKER, '/a/b', 1), ('setParam', TALKER, '/a', {'c': 2})], [('setParam', (TALKER, '/a', {'c': 2}))]),
    ([('setParam', TALKER, '/a', {'c': 2}), ('setParam', TALKER, '/a/b', 1)],
     [('setParam', (TALKER, '/a', {'c': 2})), ('setParam', (TALKER, '/a/b', 1))]),
    ([('setParam', TALKER, '/a/b', 1), ('deleteParam', TALKER, '/a')], [('deleteParam', (TALKER, '/a'))]),
    ([('setParam', TALKER, '/ab', 1), ('deleteParam', TALKER, '/a')],
     [('setParam', (TALKER, '/ab', 1)), ('deleteParam', (TALKER, '/a'))]),
    ([('setParam', '/ns/talker', 'x', 1)], [('setParam', ('/ns/talker', '/ns/x', 1))]),
    ([('setParam', TALKER, '~x', 1)], [('setParam', (TALKER, '/talker/x', 1))])])
def test_parameters(calls, left):
    assert journal_of(*calls).replay() == left


def test_the_parts_of_a_multicall_count():
    """roslaunch sets its parameters so."""
    journal = GraphJournal()
    parts = [{'methodName': 'setParam', 'params': [TALKER, '/a', 1]},
             {'methodName': 'setParam', 'params': [TALKER, '/b', 2]},
             {'methodName': 'system.multicall', 'params': [[]]}, {'methodName': 5}, 'odd']
    assert journal.apply('system.multicall', [parts], 1.0)
    assert [arguments[1:] for _, arguments in journal.replay()] == [('/a', 1), ('/b', 2)]


@pytest.mark.parametrize('method, arguments', [
    ('getParam', [TALKER, '/a']), ('registerPublisher', [TALKER]), ('registerPublisher', [TALKER, '/t', 'x', 5]),
    ('setParam', [TALKER]), ('setParam', [TALKER, 5, 1]), ('system.multicall', []), ('system.multicall', [5]),
    ('shutdown', [TALKER, '']), ('unregisterService', [TALKER, '/never', 'rosrpc://x:1'])])
def test_other_calls_change_nothing(method, arguments):
    journal = GraphJournal()
    assert not journal.apply(method, arguments, 1.0) and len(journal) == 0


def test_a_journal_survives_its_text():
    journal = journal_of(subscribe(), publish(), ('setParam', TALKER, '/a', {'x': [1, 2.5, True, 'ü'], 'y': {}}),
                         ('deleteParam', TALKER, '/b'),
                         ('registerService', TALKER, '/s', 'rosrpc://dev-1:5', TALKER_API))
    again = load(dump(journal))
    assert again.replay() == journal.replay() and dump(again) == dump(journal)


@pytest.mark.parametrize('text', ['', '<', '<methodResponse>', dump(GraphJournal())[:200],
                                  dump(GraphJournal()).replace('version', 'v'),
                                  dump(journal_of(publish())).replace('publisher', 'odd')])
def test_a_damaged_text_is_an_error(text):
    with pytest.raises(ValueError, match='damaged journal'):
        load(text)


def test_a_journal_is_bounded(monkeypatch):
    monkeypatch.setattr(graph_journal, 'MOST', 2)
    journal = journal_of(publish('/1'), publish('/2'))
    with pytest.raises(JournalFull):
        journal.apply(*[part for part in (publish('/3')[0], publish('/3')[1:])], 1.0)


@pytest.mark.parametrize('key, caller, name', [
    ('/a', '/n', '/a'), ('a', '/n', '/a'), ('a', '/x/n', '/x/a'), ('~a', '/x/n', '/x/n/a'), ('/a//b/', '/n', '/a/b'),
    ('/', '/n', '/')])
def test_names_are_resolved_as_the_server_does(key, caller, name):
    assert resolved(key, caller) == name
