"""What `ua-overlay tools build` makes for other architectures runs there: under qemu, on this machine."""
import contextlib
import os
import subprocess
import sys

import pytest
from loopback_site import LoopbackSite
from places import ROOT

from ua_overlay.lab.wait import wait
from ua_overlay.resources import share_path
from ua_overlay.toolchain import bundle
from ua_overlay.toolchain.architecture import named
from ua_overlay.toolchain.find import build_dir, cache_dir
from ua_overlay.toolchain.pins import MODULES, read_pin

PINS = {module: read_pin(share_path('toolchain'), module) for module in MODULES}
QEMU = {'arm64': 'qemu-aarch64-static', 'armv7': 'qemu-arm-static'}


@contextlib.contextmanager
def no_progress(_text):
    yield


def version_under(qemu, path):
    done = subprocess.run([qemu, path, '--version'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60,
                          universal_newlines=True)
    return done.stdout.split('\n')[0]


def made(architecture, directory):
    """The bundle for an architecture, by the command; `make prepare` has built its programs."""
    path = os.path.join(directory, architecture + '.tar.gz')
    command = [sys.executable, os.path.join(ROOT, 'scripts', 'ua-overlay'), 'tools', 'build', '--arch', architecture]
    subprocess.run(command + ['--output', path], check=True, stdout=subprocess.DEVNULL,
                   env=dict(os.environ, UA_OVERLAY_CACHE=cache_dir()))
    return path


@pytest.fixture(scope='module', params=sorted(QEMU))
def robot(request, tmp_path_factory):
    """(name of an architecture, directory of the programs) as `tools install --from` leaves them on such a robot."""
    directory = str(tmp_path_factory.mktemp(request.param))
    qemu, pin = QEMU[request.param], PINS['tailscale']
    found = bundle.install(made(request.param, directory), '', PINS, named(request.param), directory, no_progress,
                           ask=lambda path: version_under(qemu, path))
    assert found == ['tailscale', 'tailscaled']
    yield request.param, build_dir(pin.module, pin.version, directory, named(request.param))


@pytest.mark.fault('case 17', 'A robot with another architecture than the machine that builds, without Go',
                   behaviour='It installs a file of that machine, and joins',
                   reported='-', recovery='-', lost='nothing')
def test_a_robot_of_another_architecture_joins(robot):
    architecture, directory = robot
    assert version_under(QEMU[architecture], os.path.join(directory, 'tailscale')) == PINS['tailscale'].version
    with LoopbackSite() as site:
        daemon = site.daemon(architecture, argv=[QEMU[architecture], os.path.join(directory, 'tailscaled')])
        daemon.begin_join(site.key('tag:iris'))
        status = wait('A robot with {} is online'.format(architecture), daemon.online)
        assert status.self_node.tags == ('tag:iris',) and status.version == PINS['tailscale'].version
