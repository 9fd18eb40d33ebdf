"""Checks of the server."""
import shlex
import subprocess
import time
from dataclasses import replace

import pytest

from ua_overlay.checks import server
from ua_overlay.checks.facts import Facts, Server
from ua_overlay.checks.robot import when
from ua_overlay.errors import Problem
from ua_overlay.tailscale.map_stamp import Stamp
from unit.checks.healthy import DAY, FACTS, NOW, STATUS, changed


def with_server(**fields):
    return changed(server=replace(FACTS.server, **fields))


def problem(code):
    return with_server(problem=Problem(code, 'The server is not as it should be.', 'do this'), not_after=None,
                clock_offset=None)


def levels(facts):
    return [check(facts).level if check(facts) else None
            for check in (server.server, server.certificate, server.clock)]


def test_healthy():
    assert levels(FACTS) == ['OK', 'OK', 'OK']


def test_without_facts_there_is_no_verdict():
    assert levels(Facts()) == levels(Facts(server=Server())) == [None, None, None]


@pytest.mark.parametrize('code, expected', [
    ('SERVER_UNREACHABLE', ['ERROR', None, None]), ('WRONG_CA', ['ERROR', None, None]),
    ('NOT_PREPARED', ['ERROR', None, None]), ('CERT_EXPIRED', [None, 'ERROR', None]), ('CLOCK', [None, None, 'ERROR'])])
def test_each_problem_belongs_to_one_check(code, expected):
    assert levels(replace(problem(code), server=replace(problem(code).server, ca_not_after=None))) == expected


@pytest.mark.fault('new', 'The server is dead, and a robot goes on (or reboots) with the team that it remembers',
                   behaviour='Links and names go on; members that were removed meanwhile are trusted until the end',
                   reported='at once: status, doctor, topic state, /diagnostics, with the end; an error from an hour '
                            'before it on', recovery='with the server', lost='nothing')
@pytest.mark.parametrize('left, level', [
    (86400, 'WARN'), (3601, 'WARN'), (3600, 'ERROR'), (0, 'ERROR'), (-60, 'ERROR')])
def test_a_team_that_is_only_remembered(left, level):
    alone = replace(STATUS, self_node=replace(STATUS.self_node, online=False))
    facts = replace(problem('SERVER_UNREACHABLE'), status=alone, map_stamp=Stamp(NOW - 500, NOW + left))
    verdict = server.remembered_team(facts)
    assert verdict.level == level and 'away since ' + when(NOW - 500) in verdict.what
    assert when(NOW + left) in verdict.what and verdict.next_command == 'ua-overlay server status   # on the server'
    assert server.remembered_team(replace(facts, map_stamp=None)).level == 'ERROR'
    # It answers, and tailscaled has not connected yet; tailscaled is connected still.
    assert server.remembered_team(replace(facts, server=FACTS.server)) is None
    assert server.remembered_team(replace(facts, status=STATUS)).level == 'OK'
    # Nobody has asked it yet.
    assert server.remembered_team(replace(facts, server=None)) is None
    assert server.remembered_team(replace(facts, server=Server())) is None
    assert server.remembered_team(replace(facts, server=Server(problem=Problem('X', 'It is.', 'x')))).level == level


@pytest.mark.parametrize('left, level', [(15, 'OK'), (13, 'WARN'), (3, 'WARN'), (1, 'ERROR')])
def test_certificate(left, level):
    verdict = server.certificate(with_server(not_after=NOW + left * DAY))
    assert verdict.level == level and ('server renew' in verdict.next_command) == (level != 'OK')


@pytest.mark.parametrize('left, level', [(91, 'OK'), (89, 'WARN'), (-1, 'ERROR')])
def test_ca(left, level):
    assert server.certificate(with_server(ca_not_after=NOW + left * DAY)).level == level


@pytest.mark.parametrize('offset, level, words', [
    (0, 'OK', ''), (2, 'OK', ''), (-2, 'OK', ''), (3, 'WARN', 'behind'), (-3, 'WARN', 'ahead of'),
    (29, 'WARN', 'behind'), (30, 'ERROR', 'behind'), (-3600, 'ERROR', '3600 s ahead of')])
def test_clock(offset, level, words):
    verdict = server.clock(with_server(clock_offset=offset))
    assert verdict.level == level and words in verdict.what


@pytest.mark.parametrize('offset', [3, -3, 86400, -86400 * 20000])
def test_date_understands_the_advice(offset):
    """The words set the clock by the difference; tests cannot set the clock of their machine, so date only reads it."""
    verdict = server.clock(with_server(clock_offset=offset))
    words = shlex.split(verdict.next_command, comments=True)
    assert words[:3] == ['sudo', 'date', '-s']
    then = int(subprocess.run(['date', '-d', words[3], '+%s'], stdout=subprocess.PIPE, check=True).stdout)
    assert abs(then - time.time() - offset) < 5


def test_a_robot_that_was_removed():
    assert server.registered(FACTS).level == 'OK' and server.registered(with_server(key_known=None)) is None
    verdict = server.registered(with_server(key_known=False))
    assert verdict.level == 'ERROR' and verdict.next_command.startswith('ua-overlay invite iris dev-2 ')
    stopped = replace(FACTS.status, state='Stopped')
    assert server.registered(replace(with_server(key_known=False), status=stopped)) is None


@pytest.mark.parametrize('url, level', [('https://server.ua.test:443', 'OK'), ('https://server.ua.test', 'OK'),
                                        ('https://server.ua.test:8080', 'WARN')])
def test_a_server_behind_a_proxy(url, level):
    view = replace(FACTS.server, url=url, proxy='http://proxy.lan:3128', problem=None)
    verdict = server.server(changed(server=view))
    assert verdict.level == level and 'through the proxy http://proxy.lan:3128' in verdict.what
    if level == 'WARN':
        assert '--port 443' in verdict.next_command
