"""Property-based tests of everything that parses what comes from outside: a value or an OverlayError, nothing else.

A machine without hypothesis (an old distribution's own pytest) skips this folder; `make test` and `make floor` have it.
"""
import importlib.util
import os
import socket

import pytest

if importlib.util.find_spec('hypothesis') is None:
    collect_ignore_glob = ['test_*.py']
else:
    from hypothesis import HealthCheck, settings

    #: The same examples on every machine: a test that fails here fails everywhere. No deadline: machines are slow.
    settings.register_profile('fixed', derandomize=True, deadline=None, max_examples=100, database=None,
                              suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile('fixed')


@pytest.fixture
def odd_file():
    """Function(kind, path) that makes something else than a readable file of reasonable size there."""
    def make(kind, path):
        path = str(path)
        if kind == 'fifo':
            os.mkfifo(path)
        elif kind == 'directory':
            os.mkdir(path)
        elif kind == 'zero':
            os.symlink('/dev/zero', path)
        elif kind == 'link':
            os.symlink('/nowhere/at/all', path)
        elif kind == 'socket':
            # Through the directory's handle: the path of a socket is short.
            with socket.socket(socket.AF_UNIX) as listener:
                place = os.open(os.path.dirname(path), os.O_RDONLY)
                listener.bind('/proc/self/fd/{}/{}'.format(place, os.path.basename(path)))
                os.close(place)
        elif kind == 'sparse':
            with open(path, 'wb') as stream:
                stream.truncate(1 << 30)
        elif kind == 'deep':
            with open(path, 'wb') as stream:
                stream.write(b'[' * 100000)
        else:
            with open(path, 'wb') as stream:
                stream.write(bytes(range(256)) * 40)

    return make
