"""The invariants of the chaos run find what violates them, and nothing else."""
import chaos_history
import pytest

URI = 'http://dev-1.overlay.internal:11312'


def seen(t, robot='dev-1', processes=None, file=URI, topic=URI):
    return {'event': 'seen', 't': t, 'robot': robot, 'processes': processes or {'agent': [7], 'roscore': [9]},
            'file': file and {'ROS_MASTER_URI': file},
            'topic': None if topic is None else {'state': 'OK', 'actual_master_uri': topic}}


def event(name, t, **fields):
    return dict(fields, event=name, t=t)


BEGIN = event('begin', 0.0, left={'dev-1': {'table': [], 'mount': ['/', '/proc']}})
KILL = event('kill', 10.0, host='dev-1', what=['agent'], pids=[7])
BACK = event('back', 15.0)
END = event('end', 60.0, left={'dev-1': {'table': [], 'mount': ['/']}})


def history(*more):
    """A sound history, with further records in the order of their times."""
    return sorted((BEGIN, seen(1.0), KILL, BACK, END) + more, key=lambda record: record['t'])


def problems(*more):
    return chaos_history.problems(history(*more))


def test_a_sound_history():
    assert problems() == []


@pytest.mark.parametrize('missing, word', [(BEGIN, 'begin'), (KILL, 'kill'), (seen(1.0), 'seen'), (END, 'end')])
def test_a_history_without_a_part_proves_nothing(missing, word):
    assert 'The history has no {}.'.format(word) in chaos_history.problems(
        [record for record in history() if record != missing])


def test_two_of_a_kind():
    twice = {'agent': [7, 8], 'roscore': [9]}
    assert problems(seen(20.0, processes=twice), seen(20.9)) == []  # while it is being started
    assert problems(seen(20.0, processes=twice), seen(20.5, processes=dict(twice, roscore=[])), seen(21.2)) == [
        'dev-1 ran agent twice from 20.0 s on: processes 7 and 8.']
    # Another robot's records change nothing, and one after another is not two at once.
    assert problems(seen(20.0, processes=twice), seen(20.9, robot='dev-2'), seen(20.95)) == []
    assert problems(seen(20.0, processes={'agent': [7]}), seen(30.0, processes={'agent': [8]})) == []
    # Also at the end of the history, without a further look.
    assert problems(seen(58.0, processes=twice)) == ['dev-1 ran agent twice from 58.0 s on: processes 7 and 8.']


@pytest.mark.parametrize('file, topic', [(None, URI), (URI, ''), (URI, URI + '/')])
def test_an_env_file_that_differs(file, topic):
    differs = seen(20.0, file=file, topic=topic)
    assert problems(differs, seen(24.9)) == []
    assert problems(differs, seen(25.2)) == ['dev-1: env file and topic ros_environment differed from 20.0 s on.']
    assert problems(differs, seen(23.0, file=file, topic=None), seen(30.0)) == []


def test_no_env_file_and_no_master_agree():
    assert problems(seen(20.0, file=None, topic=''), seen(40.0)) == []


def test_a_robot_that_is_late():
    late = [BEGIN, seen(1.0), KILL, event('back', 40.5), END]
    sentence = 'After the kill of agent on dev-1 at 10.0 s it took 30.5 s until every robot worked.'
    assert chaos_history.problems(late) == [sentence]
    assert chaos_history.problems(late, back=31.0) == []
    # A kill before the robots are back begins the time anew.
    again = event('kill', 12.0, host='dev-2', what=['agent'], pids=[1])
    assert chaos_history.problems(late[:3] + [again] + late[3:]) == []


def test_a_robot_that_is_never_back():
    found = chaos_history.problems([BEGIN, seen(1.0), KILL, END])
    assert found[-1] == 'After the kill of agent on dev-1 at 10.0 s not every robot worked again.'


@pytest.mark.parametrize('what', ['table', 'mount', 'block', 'key'])
def test_what_is_left(what):
    left = {'dev-1': {'table': [], 'mount': ['/'], what: ['x']}}
    assert chaos_history.problems(history()[:-1] + [dict(END, left=left)]) == ['dev-1 is left with {}: x.'.format(what)]
