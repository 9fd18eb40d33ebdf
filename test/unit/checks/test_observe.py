"""Gathering facts: what needs no lab. The rest is test/lab/test_doctor.py, on real parts."""
import datetime
import socket
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ua_overlay.checks import observe, registry, routes
from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv import preferences as preferences_file
from ua_overlay.rosenv.preferences import Preferences
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.trust import ca
from ua_overlay.trust.certificate import dump_certificates
from ua_overlay.trust.probe import ServerHealth
from unit.checks.healthy import FACTS, TEAM

THEN = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


class PlayedApi:
    """A tailscaled of a robot in team iris, whose network map has the team's port."""

    socket_path = '/none'

    def status(self, peers=True):
        return {'BackendState': 'Running', 'HaveNodeKey': True, 'Self': {
            'DNSName': 'dev-2.overlay.internal.', 'Online': True, 'Tags': ['tag:iris'], 'TailscaleIPs': ['100.64.0.2'],
            'CapMap': {'ua-overlay:team-port=11400': None}}}


def preferences(tmp_path):
    return observe.Observer(PlayedApi(), {'team': 'blue', 'team_port': 11399}, str(tmp_path / 'ca.pem'), patience=0.1,
                            locate=lambda: envfile.Location(str(tmp_path), True)).observe(frozenset()).preferences


def test_the_preferences_of_the_overlay_node_are_those_of_its_launch_arguments(tmp_path):
    """They win over the invitation and the network map, as the node made them of all three."""
    of_the_node = Preferences(master='dev-9', team_port=11500, team='iris')
    preferences_file.write(envfile.Location(str(tmp_path), True), of_the_node)
    assert preferences(tmp_path) == of_the_node


def test_without_an_overlay_node_the_network_map_wins_over_the_invitation(tmp_path):
    assert preferences(tmp_path) == Preferences(team_port=11400, team='iris')


@pytest.mark.parametrize('uri, port', [('http://a:11312', 11312), ('http://a:11312/', 11312), ('http://a', 0), ('', 0)])
def test_port_of(uri, port):
    assert registry.port_of(uri) == port


def test_connect():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]
        assert routes.connect('127.0.0.1', port, 5) == 'REFUSED'
        server.listen(1)
        assert routes.connect('127.0.0.1', port, 5) == 'OPEN'


def test_connect_to_a_black_hole(monkeypatch):
    def fail(error):
        def raise_it(address, timeout):
            raise error
        monkeypatch.setattr(routes.socket, 'create_connection', raise_it)
        return routes.connect('192.0.2.1', 1, 0.1)
    assert fail(socket.timeout()) == 'DROPPED'
    assert fail(OSError(113, 'No route to host')) == fail(OSError(101, 'unreachable')) == 'NO_ROUTE'


@pytest.mark.parametrize('status, expected', [(0, True), (1, False), (2, None)])
def test_echo(status, expected):
    asked = []

    def run(argv, **options):
        asked.append(argv)
        return SimpleNamespace(returncode=status)
    assert routes.echo('100.64.0.1', 1252, run) is expected
    assert asked[0][-3:] == ['-s', '1252', '100.64.0.1'] and 'do' in asked[0]


def test_echo_without_ping():
    def absent(*args, **options):
        raise FileNotFoundError('ping')

    def slow(*args, **options):
        raise subprocess.TimeoutExpired('ping', 4)
    assert routes.echo('a', 1, absent) is None and routes.echo('a', 1, slow) is None


def test_overlay_mtu(tmp_path):
    (tmp_path / 'tailscale0').mkdir()
    (tmp_path / 'tailscale0' / 'mtu').write_text('1240\n')
    assert routes.overlay_mtu(FACTS, str(tmp_path)) == 1240
    assert routes.overlay_mtu(FACTS, str(tmp_path / 'none')) == 1280
    assert routes.overlay_mtu(replace(FACTS, interfaces=()), str(tmp_path)) == 1280


def test_probe_server(tmp_path):
    authority = ca.create_ca('site', ['server.ua.test'], ['203.0.113.10'], THEN)[1]
    path = tmp_path / 'ca.pem'
    path.write_text(dump_certificates(authority))
    assert observe.probe_server('', str(path), 1).url == ''

    seen = observe.probe_server('https://server.ua.test', str(path), 3, lambda url, pem, timeout: ServerHealth(
        True, 0.1, -4, THEN))
    assert (seen.clock_offset, seen.not_after, seen.problem) == (-4, THEN.timestamp(), None)
    assert seen.ca_not_after > THEN.timestamp() + 9 * 365 * 86400

    def refuse(url, pem, timeout):
        raise OverlayError('It is down.', 'do this', 'SERVER_UNREACHABLE')
    seen = observe.probe_server('https://server.ua.test', str(path), 3, refuse)
    assert (seen.problem.code, str(seen.problem)) == ('SERVER_UNREACHABLE', 'It is down. Next: do this')

    missing = observe.probe_server('https://server.ua.test', str(tmp_path / 'none.pem'), 3, refuse)
    assert missing.problem.code == 'NOT_PREPARED' and 'none.pem' in missing.problem.sentence


def test_observe_without_a_daemon(tmp_path):
    """No tailscaled: what can be seen is seen, nothing is raised, and nobody on the network is asked."""
    observer = observe.Observer(LocalApi(str(tmp_path / 'none.sock')), environ=dict(TEAM, HOME='/'),
                                locate=lambda: envfile.Location(str(tmp_path), True))
    facts = observer.observe()
    assert facts.daemon_problem.code == 'NO_DAEMON' and facts.shell == TEAM and facts.actual == {}
    assert facts.interfaces and facts.server is None and facts.attempts is None


def test_an_env_file_that_must_not_be_taken(tmp_path):
    (tmp_path / 'env').write_text('ROS_MASTER_URI=http://a;b\n')
    facts = observe.Observer(LocalApi(str(tmp_path / 'none.sock')),
                             locate=lambda: envfile.Location(str(tmp_path), True)).observe()
    assert facts.actual is None and 'is not used' in facts.env_problem
