"""Times of a team's graph with six robots: a join, a move of the master, a killed roscore, and a new shell."""
import contextlib
import os
import time

from figure import Figure, Row, median, verdict
from setup_lab import INVITATION, TEAM, Program, bench_fleet, put

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.errors import OverlayError
from ua_overlay.lab.fleet import SITE_DIR

NAME = 'team'
ROBOTS = tuple('dev-{}'.format(number) for number in range(1, 7))
JOINS = 8
MOVES = 6
SHELLS = 60
LOOPS = 12
#: How often a shell sources the hook alone, in a row.
REPEATS = 200
#: Seconds without a crash after which the roscore's next crash counts as the first (supervised.STEADY), and a margin.
STEADY = 33.0
HOOK = '50.ua_overlay.sh'
#: Shell -> the file that it sources.
SETUPS = {'bash': 'setup.bash', 'sh': 'setup.sh', 'zsh': 'setup.zsh'}

FIRST_JOIN = 'first join: answered until the first message from another robot'
JOIN = 'join \'\': answered until the first message from another robot'
JOIN_STAGES = (('environment', 'of that, until the environment is OK'),
               ('started', '... the process of the team\'s node starts'),
               ('registered', '... it is registered with the master'))
MOVE = 'master moved: until the last follower is registered'
MOVE_HEARD = 'the same, until each has heard another robot'
MOVE_STAGES = (('environment', 'of that, until the last follower follows the new master'),
               ('ended', '... its node has ended in the old graph'),
               ('started', '... its new process starts'))
REQUEST = 'the requests to the server before that'
KILL = 'roscore killed: until the last node is registered'
RESTART = 'the same, from the first answer of the new roscore'
RESTART_STAGES = (('ended', 'of that, until the last node has ended in the old graph'),
                  ('started', '... its new process starts'))


def uri(robot):
    return 'http://{}.overlay.internal:{}'.format(robot, TEAM_PORT)


class Watcher(Program):
    """team_watcher.py on a robot: events of the team's node and of the overlay node, with their times."""

    def __init__(self, fleet, robot):
        super().__init__(fleet, robot, 'team_watcher.py')
        self.robot = robot
        self.until(lambda event: event.get('answer') == 'ready', 0)

    def until(self, test, start, timeout=90, what='an event'):
        """The first event from index ``start`` of :attr:`received` on for which ``test`` is true.

        :raises OverlayError: there was none within ``timeout`` seconds.
        """
        end = time.monotonic() + timeout
        while True:
            # This polls memory; each event has its own time.
            for event in self.received[start:]:
                if test(event):
                    return event
            self.check()
            if time.monotonic() > end:
                raise OverlayError('{} did not report {} within {} s; last: {}'.format(
                    self.name, what, timeout, self.received[start:][-3:]))
            time.sleep(0.02)

    def event(self, name, start, timeout=90, **like):
        def test(event):
            return event.get('event') == name and all(event.get(key) == value for key, value in like.items())
        return self.until(test, start, timeout, '{} {}'.format(name, like))['time']

    def demand(self, answer, timeout=90, **request):
        """Send a request; return its answer."""
        start = len(self.received)
        self.send(**request)
        return self.until(lambda event: event.get('answer') == answer, start, timeout, answer)


def measure(progress, robots=ROBOTS, name=NAME, joins=JOINS, moves=MOVES, shells=SHELLS):
    """Returns the Figure, with that name. The first of ``robots`` is the first master."""
    values = {}
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(bench_fleet(progress, (), (), robots, robots[0]))
        watchers = {}
        for robot in robots:
            with progress('overlay.launch on {}'.format(robot)):
                put(fleet, robot, 'team_node.py')
                fleet.launch(robot, 'team_launch:=' + put(fleet, robot, 'team.launch'))
                watchers[robot] = stack.enter_context(Watcher(fleet, robot))
        mover = stack.enter_context(Program(fleet, fleet.server, 'move_master.py', SITE_DIR, TEAM, root=True))
        mover.next()
        measure_joins(progress, watchers, joins, values)
        measure_moves(progress, watchers, mover, moves, values)
        measure_hook(progress, fleet, stack, robots[:2], shells, values)
    return figure(values, name, len(robots))


def note(values, label, value):
    values.setdefault(label, []).append(value)


def measure_joins(progress, watchers, joins, values):
    robots = list(watchers)
    with progress('{} joins; the roscore of the team starts'.format(robots[0])):
        start = len(watchers[robots[0]].received)
        join(watchers[robots[0]], INVITATION)
        watchers[robots[0]].event('registered', start, 120)
    for robot in robots[1:]:
        with progress('First join of {}'.format(robot)):
            time_join(watchers[robot], INVITATION, FIRST_JOIN, values)
    for turn in range(joins):
        watcher = watchers[robots[1 + turn % (len(robots) - 1)]]
        with progress('Join {} of {}: {} leaves and joins'.format(turn + 1, joins, watcher.robot)):
            start = len(watcher.received)
            watcher.demand('leave', leave=True)
            watcher.event('runner', start, state='WAITING')
            # Before the join is timed, the others must know of the leave, and the node must have ended.
            time.sleep(3.0)
            time_join(watcher, '', JOIN, values)


def join(watcher, path):
    answer = watcher.demand('join', join=path)
    if not answer['ok']:
        raise OverlayError('{} did not join: {}'.format(watcher.robot, answer['text']))
    return answer['time']


def time_join(watcher, path, label, values):
    start = len(watcher.received)
    answered = join(watcher, path)
    heard = watcher.event('heard', start)
    note(values, label, heard - answered)
    if label == JOIN:
        note(values, 'join environment', watcher.event('environment', start, state='OK') - answered)
        for stage in ('started', 'registered'):
            note(values, 'join ' + stage, watcher.event(stage, start) - answered)
    # The load of the start must be over before the next join is timed.
    time.sleep(2.0)


def measure_moves(progress, watchers, mover, moves, values):
    robots = list(watchers)
    master = robots[0]
    for turn in range(moves):
        old, master = master, robots[(turn + 1) % len(robots)]
        with progress('Move {} of {}: from {} to {}'.format(turn + 1, moves, old, master)):
            starts = {robot: len(watcher.received) for robot, watcher in watchers.items()}
            moved = mover.ask(robot=master)
            note(values, REQUEST, moved['time'] - moved['began'])
            followers = {robot: watcher for robot, watcher in watchers.items() if robot != master}
            target = uri(master)
            note_last(values, MOVE, followers, starts, moved['time'], 'registered', target)
            note_last(values, MOVE_HEARD, followers, starts, moved['time'], 'heard', target)
            for stage, _label in MOVE_STAGES:
                note_last(values, 'move ' + stage, followers, starts, moved['time'], stage,
                          uri(old) if stage == 'ended' else target)
            watchers[master].event('heard', starts[master], master=target)
        with progress('Waiting until the new roscore is {:.0f} s old, then killing it'.format(STEADY)):
            time.sleep(STEADY)
            time_kill(watchers, master, values)


def note_last(values, label, watchers, starts, zero, stage, master):
    last = max(watcher.event(stage, starts[robot], master=master) for robot, watcher in watchers.items())
    note(values, label, last - zero)


def time_kill(watchers, master, values):
    target = uri(master)
    before = watchers[master].demand('master', master=target, **{'not': ''})['run_id']
    starts = {robot: len(watcher.received) for robot, watcher in watchers.items()}
    killed = watchers[master].demand('kill', kill='rosmaster --core -p {}'.format(TEAM_PORT))
    if len(killed['pids']) != 1:
        raise OverlayError('{} had {} roscores.'.format(master, len(killed['pids'])))
    again = watchers[master].demand('master', master=target, **{'not': before})
    if again['time'] is None:
        raise OverlayError('The roscore on {} did not come back.'.format(master))
    note_last(values, KILL, watchers, starts, killed['time'], 'registered', target)
    note_last(values, RESTART, watchers, starts, again['time'], 'registered', target)
    for stage, _label in RESTART_STAGES:
        note_last(values, 'kill ' + stage, watchers, starts, again['time'], stage, target)
    for robot, watcher in watchers.items():
        watcher.event('heard', starts[robot], master=target)
    time.sleep(3.0)


def measure_hook(progress, fleet, stack, robots, shells, values):
    """Measure two robots in turns; the second one has no file of the hook."""
    hooks = os.path.join(fleet.workspace, 'etc', 'catkin', 'profile.d')
    fleet.lab.host(robots[1]).run(['sh', '-ec', 'cp -a "$1/." "$2"; rm "$2/$3"; mount --bind "$2" "$1"', 'sh', hooks,
                                   '/run/bench-hooks', HOOK])
    there = stack.enter_context(Program(fleet, robots[0], 'source_timer.py'))
    gone = stack.enter_context(Program(fleet, robots[1], 'source_timer.py'))
    for timer in (there, gone):
        timer.next()
    for shell, setup in SETUPS.items():
        source = '. "$1/{}"; '.format(setup)
        with progress('{} sources {}, {} times with the hook and without'.format(shell, setup, shells)):
            for turn in range(shells + 2):
                for timer, kind, test in ((there, 'with', '='), (gone, 'without', '!=')):
                    # The exit status shows whether the hook ran: it must run on the first robot only.
                    script = source + 'test "${{_UA_OVERLAY_MASTER_URI:+set}}" {} set'.format(test)
                    answer = ask_shell(timer, shell, script, fleet.workspace)
                    if turn >= 2:  # the first ones fill caches
                        note(values, (shell, kind), answer['seconds'] * 1e3)
                        note(values, (shell, kind, 'cpu'), answer['cpu'] * 1e3)
        with progress('{} sources the hook alone, {} times {}'.format(shell, LOOPS, REPEATS)):
            for _turn in range(LOOPS):
                seconds = {}
                for count in (0, REPEATS):
                    loop = 'i=0; while [ $i -lt {} ]; do . "$1/etc/catkin/profile.d/{}"; i=$((i+1)); done'.format(
                        count, HOOK)
                    seconds[count] = ask_shell(there, shell, source + loop, fleet.workspace)['seconds']
                note(values, (shell, 'alone'), (seconds[REPEATS] - seconds[0]) / REPEATS * 1e3)


def ask_shell(timer, shell, script, workspace):
    answer = timer.ask(shell=shell, script=script, argument=workspace)
    if not answer['ok']:
        raise OverlayError('{} did not source the workspace correctly: {}'.format(shell, script))
    return answer


def figure(values, name=NAME, robots=6):
    """The Figure of the values of :func:`measure`. Pure."""
    rows = [Row(FIRST_JOIN, values[FIRST_JOIN]), Row(JOIN, values[JOIN])]
    rows += [Row(label, values['join ' + stage]) for stage, label in JOIN_STAGES]
    rows += [Row(MOVE, values[MOVE])]
    rows += [Row(label, values['move ' + stage]) for stage, label in MOVE_STAGES]
    rows += [Row(MOVE_HEARD, values[MOVE_HEARD]), Row(REQUEST, values[REQUEST]),
             Row(KILL, values[KILL]), Row(RESTART, values[RESTART])]
    rows += [Row(label, values['kill ' + stage]) for stage, label in RESTART_STAGES]
    added = []
    for shell, setup in SETUPS.items():
        names = {kind: '{} sources {}, {} the hook'.format(shell, setup, kind) for kind in ('with', 'without')}
        rows += [Row(names['without'], values[shell, 'without'], unit='ms'),
                 Row(names['with'], values[shell, 'with'], names['without'], unit='ms'),
                 Row('{} sources the hook alone'.format(shell), values[shell, 'alone'], unit='ms')]
        # Two shells in a row have about the same load.
        extra, work = (median([with_it - without for with_it, without in zip(values[(shell, 'with') + more],
                                                                             values[(shell, 'without') + more])])
                       for more in ((), ('cpu',)))
        added.append(verdict('time that the hook adds to `. {}` in {} (CPU time {:.3g} ms, alone {:.3g} ms)'.format(
            setup, shell, work, median(values[shell, 'alone'])), extra, 5, ' ms'))
    title = '{} robots of one team: join, a move of the master, a new roscore, a new shell'.format(robots)
    aims = [
        verdict('from a first join answered to the first message', median(values[FIRST_JOIN]), 3, ' s'),
        verdict('from a join \'\' answered to the first message', median(values[JOIN]), 3, ' s'),
        verdict('from the retag done to the node of the last of {} followers'.format(robots - 1),
                median(values[MOVE]), 10, ' s'),
        verdict('from the new roscore to the last of {} nodes'.format(robots), median(values[RESTART]), 5, ' s')]
    return Figure(name, title, 's', rows, aims=aims + added, notes=[
        'All {} robots run on this machine at once, each with tailscaled, a local graph, overlay.launch, the team '
        'mirror and a launch file with one rospy node; outside a lab each has a machine to itself.'.format(robots),
        'The retag is done when the last request of `ua-overlay team master` is answered. The node notes its times '
        'itself; registered: rospy has advertised and subscribed.',
        'The roscore is killed (rosmaster, SIGKILL) when it is older than 30 s; its first restart comes after 1 s.',
        'Shells take turns on two robots with the same environment; on one of them the hook\'s file is hidden. The '
        'time that it adds is the median of the differences within a turn.'],
        raw={' '.join(key) if isinstance(key, tuple) else key: value for key, value in values.items()})
