"""The unit tests on a robot of Noetic's age: Python 3.9, cryptography 3.3, PyYAML 5.3, glibc 2.31."""
from places import ROOT
from topologies import ONE_NAT

from ua_overlay.lab import images
from ua_overlay.lab.images import USER
from ua_overlay.lab.machines import Machine
from ua_overlay.lab.timeouts import PLAYBOOK, scaled

CHECKOUT = '/srv/checkout'
#: All but those that measure time, and those that verify units that are not installed: the robot's systemd cannot.
CHOSEN = 'not for_systemd and not systemd_accepts and not is_fast'
#: Left out: what no robot runs, and tests of every command with hostile input, which the fuzzed parsers below cover.
#: Those of certificates run with the oldest cryptography of all (dev/run_tests.py). A robot has no hypothesis for
#: test/unit/fuzz.
LEFT_OUT = ('project', 'hostile', 'lab', 'measure', 'site', 'server', 'headscale', 'relays', 'trust')


def test_the_unit_tests_pass_on_a_robot(new_lab):
    with Machine(new_lab(ONE_NAT, 'units'), 'dev-1', images.get(images.ROBOT), binds=[(ROOT, CHECKOUT)]) as machine:
        machine.run(['sh', '-c', 'cp -r {} /srv/work && chown -R {} /srv/work'.format(CHECKOUT, USER)])
        done = machine.run(['sh', '-c', 'cd /srv/work && PYTHONPATH=src:dev exec python3 -m pytest -q -p '
                            'no:cacheprovider -c /dev/null --rootdir . --disable-warnings -k "{}" '
                            '{} test/unit'.format(CHOSEN, ' '.join('--ignore=test/unit/' + each for each in LEFT_OUT))],
                           user=USER, check=False, timeout=scaled(PLAYBOOK))
    assert done.returncode == 0, done.stdout[-5000:]
    assert ' passed' in done.stdout.splitlines()[-1]
