"""The egress rule of `robot prepare` and its keeper, without nft and name servers."""
import datetime
import threading

import pytest

from ua_overlay.cli import robot_egress
from ua_overlay.errors import OverlayError
from ua_overlay.tailscale import egress
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.ca import create_ca

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)
CA = certificates.dump_certificates(create_ca('site', ['server.example.org'], ['203.0.113.10'], NOW)[1])
#: As tailscaled's LocalAPI has it.
DERP_MAP = {'Regions': {'999': {'Nodes': [
    {'HostName': 'server.example.org', 'IPv4': '203.0.113.10', 'IPv6': 'none'}]},
    '901': {'Nodes': [{'HostName': 'lab-b.server.example.org', 'IPv4': '203.0.113.11'}]}}}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A rule of a robot below a directory of the test."""
    which = egress.ROBOT._replace(rules=str(tmp_path / 'egress.nft'))
    monkeypatch.setattr(egress, 'ROBOT', which)
    return which


def test_rules_have_what_the_ca_says_and_what_names_resolve_to(place):
    def resolve(name):
        return {'203.0.113.10': ['203.0.113.10'], 'server.example.org': ['203.0.113.10', 'fd00::1']}[name]

    text = robot_egress.make_rules(place, CA, resolve=resolve)
    assert egress.parse_addresses(text) == ['203.0.113.10', 'fd00::1']


def test_what_does_not_resolve_now_stays_as_it_was(place):
    def resolve(name):
        if name == 'server.example.org':
            raise OSError('no name server')
        return [name]

    assert egress.parse_addresses(robot_egress.make_rules(place, CA, resolve=resolve)) == ['203.0.113.10']
    with open(place.rules, 'w') as stream:
        stream.write(egress.ruleset(place, ['198.51.100.7']))
    assert egress.parse_addresses(robot_egress.make_rules(place, CA, resolve=resolve)) == [
        '198.51.100.7', '203.0.113.10']


def test_relays_of_the_network_map_are_servers_of_the_site(tmp_path):
    class Api:
        def derp_map(self):
            return DERP_MAP

    class Down:
        def derp_map(self):
            raise OverlayError('tailscaled does not run.')

    (tmp_path / 'ca.pem').write_text(CA)
    assert set(robot_egress.servers_now(Api(), str(tmp_path / 'ca.pem'))) == {
        'server.example.org', '203.0.113.10', 'lab-b.server.example.org', '203.0.113.11'}
    assert robot_egress.servers_now(Down(), str(tmp_path / 'none.pem')) == []
    assert robot_egress.derp_servers(None) == []


def test_a_rule_that_comes_later_is_kept_too(place, monkeypatch):
    loaded, stop = [], threading.Event()
    monkeypatch.setattr(egress.EgressKeeper, 'PERIOD', 0.01)
    monkeypatch.setattr(robot_egress, 'servers_now', lambda api: ['203.0.113.10'])
    monkeypatch.setattr(robot_egress, 'find_nft', lambda: 'nft')

    def load(text, nft):
        loaded.append(text)
        stop.set()

    monkeypatch.setattr(robot_egress, 'load', load)
    thread = threading.Thread(target=robot_egress.keep, args=(None, stop, lambda text: None), daemon=True)
    thread.start()
    with open(place.rules, 'w') as stream:
        stream.write('')
    assert stop.wait(20)
    thread.join(20)
    assert '203.0.113.10' in loaded[0]


def test_missing_nft_is_a_sentence(monkeypatch):
    monkeypatch.setattr(robot_egress.shutil, 'which', lambda *_, **__: None)
    with pytest.raises(OverlayError) as caught:
        robot_egress.find_nft()
    assert caught.value.code == 'NO_NFT' and '--no-egress' in caught.value.next_command


def test_nft_s_refusal_is_a_sentence(tmp_path):
    program = tmp_path / 'nft'
    program.write_text('#!/bin/sh\necho "Error: No such file or directory"\nexit 1\n')
    program.chmod(0o755)
    with pytest.raises(OverlayError) as caught:
        robot_egress.load('flush', str(program))
    assert 'No such file' in caught.value.sentence
    with pytest.raises(OverlayError):
        robot_egress.load('flush', str(tmp_path / 'none'))
