"""Fixtures of the lab tests. README.md says how such a test is written."""
import contextlib
import os
import shutil
import tempfile

import keep
import pytest
from fleets import one_lan_team, three_robots, two_lans  # noqa: F401 fixtures
from places import INSTALL
from shifted_clock import ShiftedClock
from topologies import MANY

from ua_overlay.lab import requirements
from ua_overlay.lab.lab import STATE_ROOT, Lab


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Keep the logs of what runs, before it is taken down, and say where."""
    report = yield
    if report.failed and report.when in ('setup', 'call'):
        folder = keep.keep(item.nodeid)
        if folder:
            report.sections.append(('Logs', 'kept in ' + os.path.relpath(folder)))
    return report


@pytest.fixture(scope='session')
def lab_possible():
    """Skip, with the reason, where no lab can be built. Only for want of root: a missing program is a failure."""
    if os.geteuid() != 0:
        with pytest.raises(requirements.LabUnavailable) as caught:
            requirements.check()
        pytest.skip(str(caught.value))


@pytest.fixture(scope='session')
def lab_root(lab_possible, tmp_path_factory):
    """A directory for the state of labs that no other test run shares."""
    return str(tmp_path_factory.mktemp('labs'))


@contextlib.contextmanager
def running_labs(lab_root):
    """Function(topology, name, typed=False) -> a lab that runs until the end of the block, or of this process.

    ``typed``: where `ua-overlay … --lab NAME` looks for labs; otherwise where no other test run sees it.
    """
    with contextlib.ExitStack() as stack:
        def make(topology, name, typed=False):
            lab = stack.enter_context(Lab.up(topology, '{}-{}'.format(name, os.getpid()),
                                             STATE_ROOT if typed else lab_root, bound=True))
            stack.enter_context(keep.source(name, lambda: keep.of_lab(lab)))
            return lab

        yield make


@pytest.fixture(scope='module')
def new_lab(lab_root):
    """Function(topology, name): a lab for the tests of one file."""
    with running_labs(lab_root) as make:
        yield make


@pytest.fixture(scope='session')
def shared_lab(lab_root):
    """Function(topology, name): a lab for several files, which run in one process (see groups.py)."""
    with running_labs(lab_root) as make:
        yield make


@pytest.fixture
def shifted_clock():
    """A wall clock for programs of the machine and of any host."""
    directory = tempfile.mkdtemp(prefix='ua_clock.', dir='/tmp')
    os.chmod(directory, 0o755)
    yield ShiftedClock(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope='session')
def install():
    """The install space of the built workspace."""
    assert os.path.isdir(INSTALL), 'The workspace is not built. Next: make prepare'
    return INSTALL


@pytest.fixture(scope='session')
def lab(shared_lab):
    """One running lab for the tests that leave it as they found it."""
    return shared_lab(MANY, 'session')
