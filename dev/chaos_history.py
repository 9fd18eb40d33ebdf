"""What must hold over the history of a chaos run (dev/chaos.py): pure functions on its records.

A history is a list of dicts, in the order of their times:

    {'event': 'begin' or 'end', 't': s, 'left': {host: {what: [str]}}}    what is on each host, see `left_behind`
    {'event': 'kill', 't': s, 'host': …, 'what': [kind], 'pids': [int]}
    {'event': 'seen', 't': s, 'robot': …, 'processes': {kind: [pid]}, 'file': {…}, 'topic': {…}}
        only when it differs from what was seen before: it holds until the next one of that robot. `file` is the env
        file's variables, None without a file. `topic` is the robot's own report, None while nobody publishes it.
    {'event': 'back', 't': s}                                             every robot works again
    {'event': 'reset', 't': s, 'robots': [str]}                           a person has helped robots that were late
"""
import itertools
from typing import Any, Dict, Iterator, List, Sequence, Tuple

Record = Dict[str, Any]
#: Seconds for every robot to work again after a kill.
BACK = 30.0
#: Seconds for which two processes of a kind may be there: a program that is being started shows its parent's command
#: until it is executed.
TWICE = 1.0
#: Seconds for which env file and topic may differ: one is written before the other, and the topic needs its subscriber.
DIFFERENT = 5.0


def problems(history: Sequence[Record], back: float = BACK) -> List[str]:
    """Return a sentence for each invariant that the history violates. Pure.

    :param back: seconds for the robots to work again; longer on a slow machine.
    """
    return list(itertools.chain(killed_something(history), one_of_each(history), file_agrees(history),
                                back_in_time(history, back), nothing_left(history)))


def killed_something(history: Sequence[Record]) -> Iterator[str]:
    """A run without a kill, or one that was not looked at, proves nothing."""
    for event in ('begin', 'kill', 'seen', 'end'):
        if not any(record['event'] == event for record in history):
            yield 'The history has no {}.'.format(event)


def one_of_each(history: Sequence[Record]) -> Iterator[str]:
    """No robot runs two processes of a kind."""
    since: Dict[Tuple[str, str, int, int], float] = {}
    told = set()
    for record in history:
        for (robot, kind, first, second), begun in since.items():
            if record['t'] - begun > TWICE and (robot, kind, first, second) not in told:
                told.add((robot, kind, first, second))
                yield '{} ran {} twice from {:.1f} s on: processes {} and {}.'.format(robot, kind, begun, first, second)
        if record['event'] == 'seen':
            robot = record['robot']
            pairs = {(robot, kind, first, second) for kind, pids in record['processes'].items()
                     for first, second in itertools.combinations(sorted(pids), 2)}
            since = {pair: begun for pair, begun in since.items() if pair[0] != robot or pair in pairs}
            for pair in pairs:
                since.setdefault(pair, record['t'])


def differs(record: Record) -> bool:
    """Whether the env file and the robot's report differ; not while nobody reports. Pure."""
    if record['topic'] is None:
        return False
    return (record['file'] or {}).get('ROS_MASTER_URI', '') != record['topic']['actual_master_uri']


def file_agrees(history: Sequence[Record]) -> Iterator[str]:
    """The env file and the robot's own report name the same master."""
    since: Dict[str, float] = {}
    told = set()
    for record in history:
        for robot, begun in since.items():
            if record['t'] - begun > DIFFERENT and (robot, begun) not in told:
                told.add((robot, begun))
                yield '{}: env file and topic ros_environment differed from {:.1f} s on.'.format(robot, begun)
        if record['event'] == 'seen':
            if differs(record):
                since.setdefault(record['robot'], record['t'])
            else:
                since.pop(record['robot'], None)


def back_in_time(history: Sequence[Record], back: float) -> Iterator[str]:
    """After a kill every robot works again within ``back`` seconds. A kill before that begins the time anew."""
    last = None
    for record in history:
        if last is not None and record['event'] in ('back', 'end') and record['t'] - last['t'] > back:
            yield 'After the kill of {} on {} at {:.1f} s it took {:.1f} s until every robot worked.'.format(
                ' and '.join(last['what']), last['host'], last['t'], record['t'] - last['t'])
        if record['event'] == 'kill':
            last = record
        elif record['event'] == 'back':
            last = None
        elif record['event'] == 'end' and last is not None:
            yield 'After the kill of {} on {} at {:.1f} s not every robot worked again.'.format(
                ' and '.join(last['what']), last['host'], last['t'])


def nothing_left(history: Sequence[Record]) -> Iterator[str]:
    """At the end each host has what it had at the beginning: no table, mount, block, interface, process, file or key
    is left."""
    begin = next((record for record in history if record['event'] == 'begin'), None)
    end = next((record for record in history if record['event'] == 'end'), None)
    if begin is None or end is None:
        return
    for host, things in sorted(end['left'].items()):
        for what, now in sorted(things.items()):
            more = sorted(set(now) - set(begin['left'].get(host, {}).get(what, ())))
            if more:
                yield '{} is left with {}: {}.'.format(host, what, ', '.join(more))
