"""test/unit mirrors src/ua_overlay, folder by folder, so that the tests of a module are easy to find."""
import os
import re

import pytest
from paths import ROOT, SOURCE

PACKAGE = os.path.join(SOURCE, 'ua_overlay')
UNIT = os.path.join(ROOT, 'test', 'unit')
NEEDS_MESSAGES = 'imports messages that catkin makes: test/lab/test_ros.py and test/rostest run it'
#: Modules without a file of their own, and which tests cover them instead.
NO_MIRROR = {
    'cli/lab_team.py': 'types the commands of a team in a real lab: test/lab/test_campus.py',
    'cli/measure.py': 'adds its commands, which cli/test_help.py compares with the table',
    'cli/robot_image.py': 'removes the keys of a real machine: test/lab/test_prepare_systemd.py',
    'cli/shared/exit_status.py': 'constants; cli/test_main.py compares them with the help',
    'defaults.py': 'values without code: test/unit/project/test_one_home.py compares them with who repeats them',
    'headscale/api.py': 'a Protocol: nothing runs',
    'headscale/site_directory.py': 'Protocols: nothing runs',
    'lab/encryption.py': 'stages a proof between two real robots: test/lab/test_encryption.py',
    'lab/enter.py': 'runs inside hosts: test/lab/test_lab_running_hosts.py',
    'lab/fleet.py': 'types commands on real hosts: test/lab/test_team.py, test_site.py',
    'lab/network.py': 'wires real hosts: test/lab/test_lab_running_network.py, test_lab_lifecycle.py',
    'measure/hosts/lab_host.py': 'measures between hosts of a lab: test/lab/test_measure_run.py, test_measure_video.py',
    'measure/paths.py': 'two names',
    'measure/report/parts.py': 'values without behaviour; test_html.py and test_pdf.py write them',
    'nodes/interface.py': NEEDS_MESSAGES,
    'nodes/mirror.py': NEEDS_MESSAGES,
    'nodes/registration.py': 'registers with a real roscore: test/lab/test_local_roscore.py',
    'nodes/services.py': NEEDS_MESSAGES,
    'protocols.py': 'types without code: mypy reads them',
    'tailscale/api.py': 'Protocols only: mypy checks them',
}


def modules():
    """Paths of all modules below the package, relative to it."""
    return sorted(os.path.relpath(os.path.join(folder, name), PACKAGE) for folder, _, names in os.walk(PACKAGE)
                  for name in names if name.endswith('.py') and name != '__init__.py')


def mirror_of(module):
    """The path of a module's tests, relative to test/unit: `site/test_admin.py` of `site/admin.py`."""
    folder, name = os.path.split(module)
    return os.path.join(folder, 'test_' + name)


@pytest.mark.parametrize('module', modules())
def test_every_module_has_a_mirror_or_a_reason(module):
    there = os.path.exists(os.path.join(UNIT, mirror_of(module)))
    assert there or NO_MIRROR.get(module), '{} has neither {} nor a reason in NO_MIRROR'.format(
        module, mirror_of(module))
    assert not (there and module in NO_MIRROR), '{} has a mirror: take it off NO_MIRROR'.format(module)


def test_every_reason_is_still_needed():
    assert sorted(set(NO_MIRROR) - set(modules())) == []


def test_every_test_file_has_a_module():
    """A folder that mirrors nothing (`project/`) is about the repository."""
    mirrored = {mirror_of(module) for module in modules()}
    rooms = [name for name in os.listdir(UNIT) if os.path.isdir(os.path.join(PACKAGE, name))]
    lonely = [path for room in rooms for folder, _, names in os.walk(os.path.join(UNIT, room)) for name in names
              for path in [os.path.relpath(os.path.join(folder, name), UNIT)]
              if name.startswith('test_') and name.endswith('.py') and path not in mirrored]
    assert sorted(lonely) == sorted(LONELY)


def test_only_the_fuzz_folder_needs_hypothesis():
    """A robot's own pytest has no hypothesis: an import of it elsewhere ends the whole run there."""
    importing = re.compile(r'^(?:import|from) hypothesis\b', re.MULTILINE)
    found = {}
    for folder, _, names in os.walk(UNIT):
        for name in names:
            if name.endswith('.py'):
                with open(os.path.join(folder, name), encoding='utf-8') as stream:
                    found[os.path.relpath(os.path.join(folder, name), UNIT)] = importing.search(stream.read())
    assert [path for path in found if found[path] and not path.startswith('fuzz' + os.sep)] == []
    assert found['fuzz/test_system.py']


#: Files of tests that are about more than one module.
LONELY = ('cli/test_main.py',)  # cli/__init__.py
