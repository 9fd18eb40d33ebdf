"""Try a release of tailscale that this package does not pin: `make canary VERSION=1.104.1`.

Builds it below the cache, apart from the pinned builds, then runs the demo and the LocalAPI tests with it. The exit
status is 0 only if all of them passed. Nothing of the checkout changes.

usage: dev/canary.py VERSION      in the environment of the built workspace, as root
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'src'))

from ua_overlay.cli.shared.progress import Progress  # noqa: E402
from ua_overlay.errors import OverlayError  # noqa: E402
from ua_overlay.toolchain.build import BuildFailed, build, build_environment, find_go, last_line  # noqa: E402
from ua_overlay.toolchain.find import cache_dir  # noqa: E402
from ua_overlay.toolchain.pins import read_pin  # noqa: E402

MODULE = 'tailscale'
#: What runs with it: each as an argv.
TRIALS = (('/usr/bin/python3', 'dev/demo.py'),
          (sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'test/lab/test_localapi.py',
           'test/lab/test_localapi_watcher.py', 'test/lab/test_tailscale_daemon.py'))


def make(version, cache, progress):
    """Build a release; return the directory of its programs.

    :raises BuildFailed: it cannot be fetched or does not build.
    """
    pin = read_pin(os.path.join(ROOT, 'toolchain'), MODULE)
    source = os.path.join(cache, 'sources', version, MODULE)
    shutil.rmtree(source, ignore_errors=True)
    os.makedirs(source)
    # From nothing: the pinned go.mod may require newer libraries than an older release builds with.
    with open(os.path.join(source, 'go.mod'), 'w') as stream:
        stream.write('module ua_overlay/canary\n\ngo {}\n'.format(pin.go_version))
    go = find_go(pin.go_version, cache_dir(), progress)
    with progress('Fetching tailscale {}'.format(version)):
        done = subprocess.run([go, 'get', '-tool'] + ['{}@v{}'.format(package, version) for package in pin.packages],
                              cwd=source, env=build_environment(os.environ, cache), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise BuildFailed('tailscale {} cannot be fetched: {}'.format(version, last_line(done.stdout)),
                          'cd toolchain/{} && go list -m -versions tailscale.com   # those that exist'.format(MODULE))
    return build(read_pin(os.path.dirname(source), MODULE), source, cache, progress)


def main(arguments):
    if len(arguments) != 1 or not re.match(r'^\d+\.\d+\.\d+$', arguments[0]):
        print('Which version of tailscale? Next: make canary VERSION=1.104.1', file=sys.stderr)
        return 2
    version = arguments[0]
    try:
        programs = make(version, os.path.join(cache_dir(), 'canary'), Progress())
    except OverlayError as error:
        print('{}\nNext: {}'.format(error.sentence, error.next_command), file=sys.stderr)
        return 1
    # Programs on the PATH go before the pinned builds if they are new enough.
    environment = dict(os.environ, PATH='{}:{}'.format(programs, os.environ['PATH']), UA_OVERLAY_CANARY=programs)
    failed = []
    for argv in TRIALS:
        print('\n{} with tailscale {}'.format(' '.join(argv[1:]), version), flush=True)
        if subprocess.run(argv, cwd=ROOT, env=environment).returncode != 0:
            failed.append(' '.join(argv[1:]))
    print('\ntailscale {}: {}'.format(version, 'FAILED: ' + '; '.join(failed) if failed else
                                      'all passed. To pin it, follow toolchain/README.md.'))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
