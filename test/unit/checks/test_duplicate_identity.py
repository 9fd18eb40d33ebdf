"""Two machines with one identity."""
from dataclasses import replace

import pytest

from ua_overlay.checks.duplicate_identity import duplicate_identity, strangers
from unit.checks.healthy import FACTS, changed


def with_strangers(endpoints):
    return changed(server=replace(FACTS.server, strangers=endpoints))


@pytest.mark.parametrize('own, on_server, others', [
    (('10.0.2.15:41641',), ('10.0.2.15:41641', '203.0.113.9:41641'), ()), ((), ('10.0.2.9:1',), ()),
    (('10.0.2.15:41641',), (), ()), (('10.0.2.15:41641',), ('10.0.2.16:41641',), ('10.0.2.16:41641',))])
def test_endpoints_of_another_machine(own, on_server, others):
    assert strangers(own, on_server) == others


def test_a_copied_sd_card():
    assert duplicate_identity(FACTS).level == 'OK'
    assert duplicate_identity(with_strangers(None)) is None
    verdict = duplicate_identity(with_strangers(('10.0.2.16:41641',)))
    assert verdict.level == 'WARN' and '10.0.2.16:41641' in verdict.what
    assert verdict.next_command.startswith('ua-overlay leave --new-identity   # on the copy')
