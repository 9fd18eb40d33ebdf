"""This machine as a host."""
import sys

import pytest

from ua_overlay.measure.hosts.local_host import LocalHost
from ua_overlay.measure.hosts.process import HostLost


def test_this_machine():
    here = LocalHost('a')
    here.enter()
    assert here.run([sys.executable, '-c', 'print(1)'], 20)[:2] == (0, '1\n')
    assert here.ask(['false']) is None
    assert here.processor_ticks()[1] > 0 and here.mtu('127.0.0.1') > 1000
    with pytest.raises(HostLost):
        here.run(['sleep', '100'], 0.2)
