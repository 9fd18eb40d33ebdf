"""Runs the tests for `make test`: groups of files side by side, the longest first.

A group is one pytest over files that share labs; test/lab/groups.py lists them, and the unit tests are two more (with
today's libraries and with the oldest that a robot may have). Lab tests wait for daemons most of their time, so the next
group starts as soon as the processors have room for it, up to MOST at once.

A run writes to results/tests: durations.json (by group: seconds, processor seconds and each test; it orders the next
run), junit/GROUP.xml, output/GROUP.txt, and logs/FILE/TEST of the programs that ran while a test failed.

usage: dev/run_tests.py [PYTEST ARGUMENT…]      with a path among the arguments: one pytest with these and nothing else
       dev/run_tests.py quick                   the unit tests, and one story of the lab beside them
"""
import collections
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULTS = os.path.join(ROOT, 'results', 'tests')
RECORD = os.path.join(RESULTS, 'durations.json')
CORES = len(os.sched_getaffinity(0))
#: Groups at once, at least (even beside other work) and at most: waiting groups cost memory, and little else.
LEAST, MOST = CORES, 4 * CORES
#: The next group starts when the processors were idle for at least this share of the last seconds.
IDLE, LOOK_BACK = 0.25, 4.0
#: Seconds between two checks of the running groups.
POLL = 0.5
#: Seconds for a pytest that was interrupted to take its labs down.
FAREWELL = 60
#: pytest's exit statuses.
OK, FAILED, INTERRUPTED, NO_TESTS = 0, 1, 2, 5

#: Below test/unit: what the oldest cryptography and netifaces can change.
FLOOR = ('trust', 'site', 'relays', 'headscale', 'server', 'cli', 'checks', 'membership', 'system/test_interfaces.py',
         'fuzz/test_site.py', 'fuzz/test_trust.py')

Group = collections.namedtuple('Group', 'name argv files', defaults=((),))
Group.__doc__ = """name: of its record; argv: what runs, before more arguments of pytest; files: which."""
Done = collections.namedtuple('Done', 'status seconds cpu')
Done.__doc__ = """status: pytest's; seconds: what the group took; cpu: processor seconds, without what a lab killed."""


def lab_groups():
    """The groups of test/lab/groups.py."""
    sys.path.insert(0, os.path.join(ROOT, 'test', 'lab'))
    import groups
    found = []
    for name, files in groups.GROUPS.items():
        paths = ['test/lab/' + file for file in files]
        found.append(Group(name, [sys.executable, '-m', 'pytest'] + paths, tuple(paths)))
    return found


def unit_groups(cache):
    """The unit tests, with today's libraries; and with the oldest ones those that meet cryptography or netifaces, in
    their room or in one that they call (FLOOR).

    A robot of Noetic's age, with the oldest PyYAML, runs those of all other rooms (test_machines_unit_tests.py).
    `make floor` runs everything.
    """
    return [Group('unit', [sys.executable, '-m', 'pytest', 'test/unit'], ('test/unit',)),
            Group('floor', [os.path.join(cache, 'floor', 'bin', 'pytest')] + ['test/unit/' + path for path in FLOOR],
                  ('test/unit',))]


def quick_groups(groups, seconds, parts=2 * CORES):
    """The groups of `make quick`: one lab story, and the unit tests in parts of about the same length. Pure.

    Each part is a pytest of its own, since every worker of one pytest would collect all tests. Many tests wait, so
    there are more parts than processors. Hostile and random input is left to `make test`: it takes a third of the time.

    :param seconds: {path below test/unit: seconds of its tests}.
    """
    shares = [[] for _ in range(parts)]
    for path in sorted(seconds, key=lambda path: (-seconds[path], path)):
        if path not in ('hostile', 'fuzz'):
            min(shares, key=lambda share: sum(seconds[each] for each in share)).append(path)
    quick = [group for group in groups if group.name == 'main-job']
    for group in groups:
        if group.name == 'unit':
            quick += [Group('unit-{}'.format(number), group.argv[:-1] + ['test/unit/' + path for path in sorted(share)],
                            group.files) for number, share in enumerate(shares, 1) if share]
    return quick


def unit_seconds(record):
    """{path below test/unit: seconds of its tests in the last run; without a record, its size}."""
    found = collections.Counter()
    tests = record.get('unit', {}).get('tests', {})
    base = os.path.join(ROOT, 'test', 'unit')
    for path in os.listdir(base):
        full = os.path.join(base, path)
        if os.path.isfile(os.path.join(full, '__init__.py')):
            files = [os.path.join(folder, name) for folder, _, names in os.walk(full) for name in names]
        elif path.startswith('test_'):
            files = [full]
        else:
            continue
        found[path] = sum(seconds for test, seconds in tests.items() if 'test/unit/{}'.format(path) in test)
        if not tests:
            found[path] = sum(os.path.getsize(each) for each in files if each.endswith('.py'))
    return dict(found)


def chosen(groups, listed):
    """The groups with at least one test in the output of `pytest --collect-only -q`. Pure.

    :param listed: its lines, some of them node ids.
    """
    paths = {line.split('::')[0] for line in listed if '::' in line}
    return [group for group in groups if any(
        path == file or path.startswith(file + '/') for file in group.files for path in paths)]


def choose(groups, arguments):
    """The groups with a test that pytest's arguments, such as -k, select; all groups if pytest cannot list them."""
    if arguments in ([], ['-q']):
        return groups
    argv = [sys.executable, '-m', 'pytest', '--collect-only', '-q', 'test/unit', 'test/lab'] + arguments
    listed = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, universal_newlines=True)
    return (chosen(groups, listed.stdout.splitlines()) or groups) if listed.returncode == OK else groups


def in_order(groups, record):
    """Unit tests first, since they find faults soonest; then the longest of the last run. A group without a record may
    be long. Pure."""
    return sorted(groups, key=lambda group: (group.name not in ('unit', 'floor'),
                                             -record.get(group.name, {}).get('seconds', float('inf'))))


def may_start(running, idle):
    """Whether one more group may start. Pure.

    :param running: how many run; ``idle``: share of the processors' time, None while it is not known.
    """
    return running < LEAST or (running < MOST and idle is not None and idle >= IDLE)


def at_once(_running, _idle):
    """Let every group start at once."""
    return True


def result_of(statuses):
    """The status of the whole run. Pure."""
    worst = [status for status in statuses if status not in (OK, NO_TESTS)]
    if worst:
        return FAILED if FAILED in worst else worst[0]
    return OK if OK in statuses else NO_TESTS


def counts_of(texts):
    """(passed, failed, skipped) of what several pytests printed, errors among the failed. Pure."""
    numbers = collections.Counter()
    for text in texts:
        last = (text.strip().splitlines() or [''])[-1]
        for number, word in re.findall(r'(\d+) (passed|failed|skipped|error)', last):
            numbers[word] += int(number)
    return numbers['passed'], numbers['failed'] + numbers['error'], numbers['skipped']


class Idle:
    """The share of the processors' time that was idle in the last seconds."""

    def __init__(self, read=None, clock=time.monotonic):
        self.read = read or self.read_stat
        self.clock = clock
        self.seen = collections.deque()

    @staticmethod
    def read_stat():
        """(idle, all) ticks so far; proc(5), /proc/stat: user nice system idle iowait irq softirq steal.

        Work that was started with `nice` gives way to tests, so its time counts as idle.
        """
        with open('/proc/stat') as stream:
            ticks = [int(word) for word in stream.readline().split()[1:9]]
        return ticks[1] + ticks[3] + ticks[4], sum(ticks)

    def forget(self):
        """Drop the record: a group has just started, so earlier readings no longer apply."""
        self.seen.clear()

    def share(self):
        """The idle share; None until LOOK_BACK seconds were recorded."""
        now = self.clock()
        self.seen.append((now,) + tuple(self.read()))
        while len(self.seen) > 2 and self.seen[1][0] <= now - LOOK_BACK:
            self.seen.popleft()
        began, idle, all_ticks = self.seen[0]
        if began > now - LOOK_BACK or self.seen[-1][2] == all_ticks:
            return None
        return (self.seen[-1][1] - idle) / (self.seen[-1][2] - all_ticks)


def path_of(kind, group, end):
    folder = os.path.join(RESULTS, kind)
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, group.name + end)


def read_output(group):
    """What the pytest of a group printed."""
    with open(path_of('output', group, '.txt'), encoding='utf-8', errors='replace') as stream:
        return stream.read()


class Running:
    """A group that runs."""

    def __init__(self, group, arguments):
        self.group = group
        self.began = time.monotonic()
        argv = group.argv + ['--junit-xml=' + path_of('junit', group, '.xml'), '-o', 'junit_family=xunit1',
                             '-p', 'no:cacheprovider'] + arguments
        with open(path_of('output', group, '.txt'), 'wb') as output:
            # Its own session: Ctrl-C reaches it once, from here, even if this program was started ignoring SIGINT.
            self.process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True,
                                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def poll(self):
        """:class:`Done`, or None while it runs."""
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if not pid:
            return None
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return Done(self.process.returncode, time.monotonic() - self.began, usage.ru_utime + usage.ru_stime)

    def output(self):
        return read_output(self.group)


def tests_of(path):
    """{node id: seconds} of a JUnit file, {} when there is none."""
    try:
        cases = ElementTree.parse(path).iter('testcase')
    except (OSError, ElementTree.ParseError):
        return {}
    return {'{}::{}'.format(case.get('file'), case.get('name')): float(case.get('time')) for case in cases}


def read_record():
    try:
        with open(RECORD, encoding='utf-8') as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return {}


def write_record(record):
    os.makedirs(RESULTS, exist_ok=True)
    with open(RECORD + '.new', 'w', encoding='utf-8') as stream:
        json.dump(record, stream, indent=1, sort_keys=True)
    os.replace(RECORD + '.new', RECORD)


def line_of(group, done, text):
    """'ok     team     17 passed     312 s    120 s of processors'. Pure.

    :param text: pytest's output; its last line has the numbers.
    """
    words = {OK: 'ok', NO_TESTS: '-'}.get(done.status, 'FAILED')
    last = (text.strip().splitlines() or [''])[-1].strip('= ')
    return '{:6} {:14} {:>5.0f} s {:>5.0f} s cpu   {}'.format(words, group.name, done.seconds, done.cpu,
                                                             last.split(' in ')[0])


def why_of(text, most=200):
    """The part of pytest's output about failures, at most this many lines. Pure."""
    lines = text.splitlines()
    begin = next((number for number, line in enumerate(lines) if line.strip('= ') in ('FAILURES', 'ERRORS')), 0)
    lines = lines[begin:]
    cut = ['… {} lines more in results/tests/output …'.format(len(lines) - most)] if len(lines) > most else []
    return '\n'.join(lines[:most // 2] + cut + lines[max(most // 2, len(lines) - most // 2):])


def run(groups, arguments, record, say=print, start=None):
    """Run groups side by side, in their order.

    :param start: decides like :func:`may_start`, which decides otherwise.
    :returns: list of (Group, Done).
    """
    waiting, running, finished, idle = list(groups), [], [], Idle()
    stop_at_first = '-x' in arguments or '--exitfirst' in arguments
    try:
        while waiting or running:
            if waiting and (start or may_start)(len(running), idle.share()):
                running.append(Running(waiting.pop(0), arguments))
                idle.forget()
            time.sleep(POLL)
            for each in list(running):
                done = each.poll()
                if done is None:
                    continue
                running.remove(each)
                finished.append((each.group, done))
                text = each.output()
                if done.status != NO_TESTS:
                    say(line_of(each.group, done, text))
                if done.status not in (OK, NO_TESTS):
                    say(why_of(text))
                    if stop_at_first:
                        waiting = []
                elif not arguments:
                    record[each.group.name] = {'seconds': round(done.seconds, 1), 'cpu': round(done.cpu, 1),
                                               'tests': tests_of(path_of('junit', each.group, '.xml'))}
    except KeyboardInterrupt:
        for each in running:
            os.killpg(each.process.pid, signal.SIGINT)
        for each in running:
            try:
                each.process.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                os.killpg(each.process.pid, signal.SIGKILL)
        raise
    return finished


def names_a_path(arguments):
    return any(os.path.exists(os.path.join(ROOT, word.split('::')[0])) for word in arguments)


def say(text):
    print(text, flush=True)


def interrupt(_number, _frame):
    raise KeyboardInterrupt


def main(arguments):
    if names_a_path(arguments):
        return subprocess.run([sys.executable, '-m', 'pytest'] + arguments, cwd=ROOT).returncode
    began, (idle, ticks) = time.monotonic(), Idle.read_stat()
    record = read_record()
    cache = os.environ.get('UA_OVERLAY_CACHE', '/var/cache/ua_overlay')
    signal.signal(signal.SIGTERM, interrupt)
    try:
        groups = unit_groups(cache) + lab_groups()
        if arguments == ['quick']:
            finished = run(quick_groups(groups, unit_seconds(record)), ['-q'], record, say, at_once)
        else:
            finished = run(in_order(choose(groups, arguments), record), arguments, record, say)
    except KeyboardInterrupt:
        print('interrupted')
        return INTERRUPTED
    write_record(record)
    failed = [group.name for group, done in finished if done.status not in (OK, NO_TESTS)]
    idle, ticks = (now - then for now, then in zip(Idle.read_stat(), (idle, ticks)))
    print('{} in {:.0f} s; the processors were busy for {:.0f} % of it{}'.format(
        'FAILED: ' + ', '.join(failed) if failed else 'All passed', time.monotonic() - began,
        100.0 * (1 - idle / ticks), '; output and logs are in ' + os.path.relpath(RESULTS) if failed else ''))
    print('{} passed, {} failed, {} skipped'.format(*counts_of([read_output(group) for group, _ in finished])))
    return result_of([done.status for _, done in finished])


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
