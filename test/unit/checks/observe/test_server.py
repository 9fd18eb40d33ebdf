"""The probe of the site's server, and the endpoints of this robot that it stores."""
import datetime
import os

import pytest

from ua_overlay.checks.facts import Server
from ua_overlay.checks.observe import server as observe
from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.model import SelfNode, Status
from ua_overlay.trust import ca
from ua_overlay.trust.certificate import dump_certificates
from ua_overlay.trust.probe import ServerHealth

THEN = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


def test_probe_server(tmp_path):
    authority = ca.create_ca('site', ['server.ua.test'], ['203.0.113.10'], THEN)[1]
    path = tmp_path / 'ca.pem'
    path.write_text(dump_certificates(authority))
    assert observe.probe_server('', str(path), 1).url == ''

    view = observe.probe_server('https://server.ua.test', str(path), 3, lambda url, pem, timeout: ServerHealth(
        True, 0.1, -4, THEN))
    assert (view.clock_offset, view.not_after, view.problem) == (-4, THEN.timestamp(), None)
    assert view.ca_not_after > THEN.timestamp() + 9 * 365 * 86400

    def refuse(url, pem, timeout):
        raise OverlayError('It is down.', 'do this', 'SERVER_UNREACHABLE')
    view = observe.probe_server('https://server.ua.test', str(path), 3, refuse)
    assert (view.problem.code, str(view.problem)) == ('SERVER_UNREACHABLE', 'It is down. Next: do this')

    missing = observe.probe_server('https://server.ua.test', str(tmp_path / 'none.pem'), 3, refuse)
    assert missing.problem.code == 'NOT_PREPARED' and 'none.pem' in missing.problem.sentence


@pytest.mark.parametrize('state, key', [('Running', 'nodekey:a'), ('Stopped', '')])
def test_a_key_is_in_use_while_tailscaled_runs(state, key):
    assert observe.key_in_use(Status(state=state, self_node=SelfNode(public_key='nodekey:a'))) == key


class PlayedApi:
    """A tailscaled, and its network map of this robot."""

    def __init__(self, online=True, on_server=('10.0.2.16:41641',), key=True):
        self.online, self.on_server, self.key = online, list(on_server), key

    def status(self, peers=True):
        return {'BackendState': 'Running', 'HaveNodeKey': self.key, 'Self': {
            'Online': self.online, 'TailscaleIPs': ['100.64.0.2'], 'Addrs': ['10.0.2.15:41641'],
            'PublicKey': 'nodekey:a'}}

    def prefs(self):
        return {'ControlURL': 'https://server.ua.test'}

    def whois(self, address):
        return {'Node': {'Endpoints': self.on_server.pop(0)}}


def test_endpoints():
    assert observe.endpoints_of(PlayedApi(on_server=[['10.0.2.16:41641']])) == (
        ('10.0.2.15:41641',), ('10.0.2.16:41641',))
    assert observe.endpoints_of(PlayedApi(online=False)) == ((), ())


def view_of(api, monkeypatch):
    monkeypatch.setattr(observe, 'probe_server', lambda url, ca_file, timeout, node_key: Server(url, key_known=True))
    return observe.observe_server(api, 'ca.pem', 0.0)


def test_endpoints_of_another_machine_must_appear_twice(monkeypatch):
    """This machine may have moved just now."""
    other, own = ['10.0.2.16:41641'], ['10.0.2.15:41641']
    assert view_of(PlayedApi(on_server=[other, other]), monkeypatch).strangers == tuple(other)
    assert view_of(PlayedApi(on_server=[other, own]), monkeypatch).strangers == ()
    assert view_of(PlayedApi(on_server=[own]), monkeypatch).strangers == ()


def test_a_robot_without_a_key_does_not_ask_the_server(monkeypatch):
    assert view_of(PlayedApi(key=False), monkeypatch) == Server()


@pytest.mark.parametrize('kind', ['fifo', 'directory', 'zero', 'garbage'])
def test_an_odd_file_in_place_of_the_ca(tmp_path, kind):
    path = str(tmp_path / 'ca.pem')
    if kind == 'fifo':
        os.mkfifo(path)
    elif kind == 'directory':
        os.mkdir(path)
    elif kind == 'zero':
        os.symlink('/dev/zero', path)
    else:
        with open(path, 'wb') as stream:
            stream.write(b'\xff\xfe')
    problem = observe.probe_server('https://a:1', path, 1.0).problem
    assert problem.code == 'NOT_PREPARED' and path in problem.sentence
