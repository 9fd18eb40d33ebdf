"""Checks of the server."""
from dataclasses import replace

import pytest

from ua_overlay.checks import duplicate_identity, server
from ua_overlay.checks.facts import Facts, Server
from ua_overlay.errors import Problem
from unit.checks.healthy import DAY, FACTS, NOW, changed


def seen(**fields):
    return changed(server=replace(FACTS.server, **fields))


def problem(code):
    return seen(problem=Problem(code, 'The server is not as it should be.', 'do this'), not_after=None,
                clock_offset=None)


def levels(facts):
    return [check(facts).level if check(facts) else None
            for check in (server.server, server.certificate, server.clock)]


def test_healthy():
    assert levels(FACTS) == ['OK', 'OK', 'OK']


def test_nobody_asked():
    assert levels(Facts()) == levels(Facts(server=Server())) == [None, None, None]


@pytest.mark.parametrize('code, expected', [
    ('SERVER_UNREACHABLE', ['ERROR', None, None]), ('WRONG_CA', ['ERROR', None, None]),
    ('NOT_PREPARED', ['ERROR', None, None]), ('CERT_EXPIRED', [None, 'ERROR', None]), ('CLOCK', [None, None, 'ERROR'])])
def test_each_problem_belongs_to_one_check(code, expected):
    assert levels(replace(problem(code), server=replace(problem(code).server, ca_not_after=None))) == expected


@pytest.mark.parametrize('left, level', [(15, 'OK'), (13, 'WARN'), (3, 'WARN'), (1, 'ERROR')])
def test_certificate(left, level):
    found = server.certificate(seen(not_after=NOW + left * DAY))
    assert found.level == level and ('server renew' in found.next_command) == (level != 'OK')


@pytest.mark.parametrize('left, level', [(91, 'OK'), (89, 'WARN'), (-1, 'ERROR')])
def test_ca(left, level):
    assert server.certificate(seen(ca_not_after=NOW + left * DAY)).level == level


@pytest.mark.parametrize('offset, level, words', [
    (0, 'OK', ''), (2, 'OK', ''), (-2, 'OK', ''), (3, 'WARN', 'behind'), (-3, 'WARN', 'ahead of'),
    (29, 'WARN', 'behind'), (30, 'ERROR', 'behind'), (-3600, 'ERROR', '3600 s ahead of')])
def test_clock(offset, level, words):
    found = server.clock(seen(clock_offset=offset))
    assert found.level == level and words in found.what


def test_a_robot_that_was_removed():
    assert server.registered(FACTS).level == 'OK' and server.registered(seen(key_known=None)) is None
    found = server.registered(seen(key_known=False))
    assert found.level == 'ERROR' and found.next_command.startswith('ua-overlay invite iris dev-2 ')
    stopped = replace(FACTS.status, state='Stopped')
    assert server.registered(replace(seen(key_known=False), status=stopped)) is None


@pytest.mark.parametrize('own, told, others', [
    (('10.0.2.15:41641',), ('10.0.2.15:41641', '203.0.113.9:41641'), ()), ((), ('10.0.2.9:1',), ()),
    (('10.0.2.15:41641',), (), ()), (('10.0.2.15:41641',), ('10.0.2.16:41641',), ('10.0.2.16:41641',))])
def test_endpoints_of_another_machine(own, told, others):
    assert duplicate_identity.strangers(own, told) == others


def test_a_copied_sd_card():
    assert duplicate_identity.duplicate_identity(FACTS).level == 'OK'
    assert duplicate_identity.duplicate_identity(seen(strangers=None)) is None
    found = duplicate_identity.duplicate_identity(seen(strangers=('10.0.2.16:41641',)))
    assert found.level == 'WARN' and '10.0.2.16:41641' in found.what and 'robot remove dev-2' in found.next_command
