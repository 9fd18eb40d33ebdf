"""Keeps what tells why a test failed: the logs of what ran at that moment, in a folder whose name the report says.

`results/tests/logs/FILE/TEST/SOURCE/…`. A lab gives the output of its services, the logs of its site, those of ROS on
its robots and the journals of its machines; a site on loopback gives its folder's logs.
"""
import contextlib
import glob
import os
import re
import shutil
import subprocess

from places import ROOT

from ua_overlay.lab.fleet import SITE_DIR
from ua_overlay.lab.machines import SERVICE as MACHINE
from ua_overlay.lab.machines import Machine

KEPT = os.path.join(ROOT, 'results', 'tests', 'logs')
_sources = {}


def add(name, paths):
    """From now on, what ``paths()`` names is kept when a test fails: [(name of the copy, path or text function)]."""
    _sources[name] = paths


def drop(name):
    """It is about to go."""
    _sources.pop(name, None)


@contextlib.contextmanager
def source(name, paths):
    """As :func:`add`, for a block."""
    add(name, paths)
    try:
        yield
    finally:
        drop(name)


def of_folder(folder):
    """[(name, path)] of what is called log below a site's folder on loopback, or lies in a folder of that name."""
    return [(os.path.relpath(path, folder).replace(os.sep, '_'), path)
            for path in sorted(glob.glob(folder + '/**', recursive=True))
            if os.path.isfile(path) and re.search(r'(^|/)log(/|$)|\.log$', os.path.relpath(path, folder))]


def of_lab(lab):
    """[(name, path)] of a lab's logs, for :func:`source`; a journal is a function that returns its text."""
    found = [(os.path.basename(path), path) for path in sorted(glob.glob(lab.state.path('logs', '*')))]
    for name, host in sorted(lab.hosts.items()):
        for folder, copy in ((SITE_DIR + '/log', 'site'), ('/home/robot/.ros/log', 'ros')):
            for path in sorted(glob.glob(host.path(folder) + '/**', recursive=True)):
                if os.path.isfile(path):
                    inside = os.path.relpath(path, host.path(folder)).replace(os.sep, '_')
                    found.append(('{}-{}-{}'.format(name, copy, inside), path))
    for name, service in lab.services():
        if service == MACHINE:
            found.append((name + '-journal', lambda name=name: Machine(lab, name).run(
                ['journalctl', '--no-pager', '-b'], check=False).stdout))
    return found


def keep(nodeid):
    """Copy what all sources have now.

    :returns: the folder, or None when nothing was running.
    """
    if not _sources:
        return None
    file, _, test = nodeid.partition('::')
    folder = os.path.join(KEPT, os.path.basename(file)[:-len('.py')], re.sub(r'[^\w.-]+', '_', test)[:100])
    shutil.rmtree(folder, ignore_errors=True)
    for name, paths in _sources.items():
        target = os.path.join(folder, name)
        os.makedirs(target)
        for copy, origin in paths():
            try:
                _copy(origin, os.path.join(target, copy))
            except (OSError, AssertionError, subprocess.SubprocessError) as error:
                # It ended, or went away, while it was looked at: said in its place.
                with open(os.path.join(target, copy), 'w') as stream:
                    stream.write('not kept: {}\n'.format(error))
    return folder


def _copy(origin, path):
    if callable(origin):
        with open(path, 'w') as stream:
            stream.write(origin())
    else:
        shutil.copyfile(origin, path)
