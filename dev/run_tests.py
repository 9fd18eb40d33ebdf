"""pytest, and one more try for what depends on real networks: `make test` calls it with pytest's arguments.

Tests in test/lab wait for daemons that take their own time (tailscaled tries a relay every 30 s, a direct path every
60 s), on machines with other work to do. When tests of at most LIMIT of its files fail, those files run once more,
whole (many have an order), and the last lines name what passed only then: a name that comes back there is a fault to
look for. Unit tests get no second try, and neither does a test that fails twice.
"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT = 2
FAILED = 1  # pytest's exit status for "tests were run and some failed"


def files_for_another_try(failed, limit=LIMIT):
    """The files that get a second try.

    :param failed: node ids (str) of the tests that failed.
    :returns: sorted list of paths; empty when there is nothing to try again, or too much of it failed.
    """
    files = sorted({name.split('::')[0] for name in failed})
    if len(files) > limit or not all(name.startswith('test/lab/') for name in files):
        return []
    return files


def last_failed():
    """Node ids that the last run of pytest left as failed."""
    path = os.path.join(ROOT, '.pytest_cache', 'v', 'cache', 'lastfailed')
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8') as stream:
        return sorted(json.load(stream))


def pytest(arguments):
    return subprocess.run([sys.executable, '-m', 'pytest'] + arguments, cwd=ROOT).returncode


def main(arguments):
    status = pytest(['--cache-clear'] + arguments)
    failed = last_failed()
    again = files_for_another_try(failed) if status == FAILED else []
    if not again:
        return status
    print('\nOnce more, since these depend on real networks: {}\n'.format(' '.join(again)), flush=True)
    status = pytest(again)
    if status == 0:
        print('\nPassed at the second try only; what failed at the first:')
        for name in failed:
            print('  ' + name)
    return status


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
