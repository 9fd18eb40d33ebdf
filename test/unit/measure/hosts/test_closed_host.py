"""A host that the campaign cannot enter."""
import pytest

from ua_overlay.measure.hosts.closed_host import ClosedHost
from ua_overlay.measure.hosts.process import HostLost


def test_a_closed_host_starts_no_program():
    closed = ClosedHost('lab-1', overlay='100.64.0.9')
    assert (closed.overlay_address(), closed.processor_ticks(), closed.path_bytes()) == ('100.64.0.9', None, None)
    with pytest.raises(HostLost) as caught:
        closed.start(['iperf3', '-s'])
    assert caught.value.sentence == 'iperf3 cannot be started on lab-1: the campaign gives no way into it (ssh: none).'
