"""The admission runs beside a derper: its memory outlives it, and whom the server refuses is disconnected."""
import json
import os
import urllib.request

import pytest

from ua_overlay.lab.wait import wait
from ua_overlay.relays import admission_keeper
from ua_overlay.relays.admission import Admission
from ua_overlay.relays.admission_keeper import AdmissionKeeper

ROBOT = 'nodekey:' + 'a' * 64


class Site:
    """A Headscale that can be silent, and an admission beside it."""

    def __init__(self, path):
        self.path, self.known, self.silent = str(path), {ROBOT}, False
        self.now, self.wall = 0.0, 1.7e9
        self.said, self.disconnected = [], 0

    def run(self):
        admission = Admission(lambda key: None if self.silent else key in self.known, lambda: self.now)
        return AdmissionKeeper(admission, self.path, self.said.append, self.disconnect, lambda: self.wall)

    def disconnect(self):
        self.disconnected += 1


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr(admission_keeper, 'PERIOD', 0.02)
    return Site(tmp_path / 'admitted.json')


def admitted(url):
    request = urllib.request.Request(url, json.dumps({'NodePublic': ROBOT}).encode('ascii'))
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
        return json.loads(answer.read().decode('ascii'))['Allow']


def test_whom_the_server_knew_is_admitted_after_a_restart_without_it(site):
    keeper = site.run()
    assert admitted(keeper.start())
    keeper.stop()
    assert os.stat(site.path).st_mode & 0o777 == 0o600
    site.silent, site.wall = True, site.wall + 3600.0
    again = site.run()
    url = again.start()
    assert admitted(url) and again.remembered() == 1
    site.now += 86400.0
    assert not admitted(url)
    again.stop()
    assert site.said == []


def test_whom_the_server_refuses_is_disconnected_when_it_answers_again(site):
    keeper = site.run()
    url = keeper.start()
    assert admitted(url)
    site.silent = True
    site.now += 10.0
    assert admitted(url) and site.disconnected == 0
    site.known.clear()
    site.silent = False
    site.now += 10.0
    wait('The disconnection', lambda: site.disconnected, 10)
    assert not admitted(url)
    keeper.stop()
    assert site.disconnected == 1
    assert site.said == ['1 node(s) that were admitted without the server are refused by it now; all clients connect '
                         'again.']
    assert ROBOT not in open(site.path).read()


@pytest.mark.parametrize('content', ['', '{', '[' * 100000, '{"version": 1, "confirmed": {"x": 1}}'])
def test_a_damaged_memory_is_named_and_made_anew(site, content):
    with open(site.path, 'w') as stream:
        stream.write(content)
    keeper = site.run()
    assert admitted(keeper.start())
    keeper.stop()
    assert site.said[0].startswith('The memory of admissions, {}, is not used: '.format(site.path))
    assert ROBOT in open(site.path).read()


def test_a_memory_that_cannot_be_written_is_said_once_and_kept(site):
    os.mkdir(site.path)
    keeper = site.run()
    url = keeper.start()
    assert admitted(url)
    wait('The sentence', lambda: any('cannot be written' in sentence for sentence in site.said), 10)
    site.silent = True
    assert admitted(url)
    keeper.stop()
    assert sum('cannot be written' in sentence for sentence in site.said) == 1
