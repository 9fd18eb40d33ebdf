"""Runs pytest for `make test`: the unit tests, then the lab tests two files at a time, then one more try for some.

Lab tests wait most of their time for daemons, so two of their files run side by side, each with labs of its own.

tailscaled takes its own time too (it tries a relay every 30 s, a direct path every 60 s), on machines with other work
to do. When tests of at most LIMIT files of the lab fail, those files run once more, whole (many have an order) and
alone, and the last lines name what passed only then: a name that comes back there is a fault to look for. Unit tests
get no second try, and neither does a test that fails twice.

usage: dev/run_tests.py [PYTEST ARGUMENT…]      with a path among the arguments: pytest with these and nothing else
"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UNIT, LAB = 'test/unit', 'test/lab'
#: A file at a time to each, in the order that test/lab/conftest.py gives: the longest first.
SIDE_BY_SIDE = ['-n', '2', '--dist', 'loadfile', '--no-loadscope-reorder']
LIMIT = 2
#: pytest's exit statuses.
OK, FAILED, NO_TESTS = 0, 1, 5


def files_for_another_try(failed, limit=LIMIT):
    """The files that get a second try.

    :param failed: node ids (str) of the tests that failed.
    :returns: sorted list of paths; empty when there is nothing to try again, or too much of it failed.
    """
    files = sorted({name.split('::')[0] for name in failed})
    if len(files) > limit or not all(name.startswith(LAB + '/') for name in files):
        return []
    return files


def last_failed():
    """Node ids that the last run of pytest left as failed."""
    path = os.path.join(ROOT, '.pytest_cache', 'v', 'cache', 'lastfailed')
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8') as stream:
        return sorted(json.load(stream))


def names_a_path(arguments):
    return any(os.path.exists(os.path.join(ROOT, word.split('::')[0])) for word in arguments)


def pytest(arguments):
    return subprocess.run([sys.executable, '-m', 'pytest'] + arguments, cwd=ROOT).returncode


def lab_tests(arguments):
    """The lab tests, with the second try; returns pytest's status."""
    status = pytest([LAB, '--cache-clear'] + SIDE_BY_SIDE + arguments)
    failed = last_failed()
    again = files_for_another_try(failed) if status == FAILED else []
    if not again:
        return status
    print('\nOnce more and alone, since these depend on real networks: {}\n'.format(' '.join(again)), flush=True)
    status = pytest(again)
    if status == OK:
        print('\nPassed at the second try only; what failed at the first:')
        for name in failed:
            print('  ' + name)
    return status


def main(arguments):
    if names_a_path(arguments):
        return pytest(arguments)
    statuses = [pytest([UNIT] + arguments), lab_tests(arguments)]
    if all(status == NO_TESTS for status in statuses):
        return NO_TESTS
    return next((status for status in statuses if status not in (OK, NO_TESTS)), OK)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
