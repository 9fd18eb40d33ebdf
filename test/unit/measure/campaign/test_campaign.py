"""Campaigns: parsing, and errors about invalid values."""
import os

import pytest
import yaml
from paths import ROOT

from ua_overlay.measure.campaign import campaign
from ua_overlay.measure.fields import CampaignError
from unit.measure.campaigns import TEXT, short


def test_an_absent_key_has_its_default():
    read = short()
    tcp, ping, topic = read.scenarios[0].tools
    assert tcp.settings == {'seconds': 3, 'omit': 1, 'server': 'started', 'port': 5201, 'congestion': 'cubic',
                            'rate': None}
    assert (tcp.duration, ping.duration, topic.duration) == (4, pytest.approx(0.6), 15.0)
    assert (topic.needs_ros, tcp.needs_ros) == (True, False)
    assert read.scenarios[0].place == 'pair' and read.scenarios[0].link_timeout == 30.0 and read.clock_error_ms is None
    data = yaml.safe_load(TEXT)
    data['tools'] = {'iperf3-tcp': None, 'udp': {'tool': 'iperf3-udp', 'rate': '50 Mbit'}}
    tcp, udp = campaign.from_mapping(data).scenarios[0].tools
    assert tcp.settings['seconds'] == 120 and udp.settings['rate'] == 50e6


@pytest.mark.parametrize('before, after, part', [
    ('version: 1', 'version: 2', 'version: 2 is not supported'),
    ('name: short', 'name: a/b', "name: 'a/b'"),
    ('repetitions: 2', 'repetitions: 0', 'repetitions: 0'),
    ('repetitions: 2', 'repetition: 2', 'repetition is unknown'),
    ('seconds: 3', 'seconds: yes', 'tools.tcp.seconds: True'),
    ('seconds: 3', 'second: 3', 'tools.tcp: second is unknown; iperf3-tcp has seconds, omit'),
    ('iperf3-tcp', 'iperf2', 'tools.tcp.tool: iperf2'),
    ('omit: 1', 'congestion: "-x"', 'tools.tcp.congestion'),
    ('expected: DIRECT', 'expected: FAST', "expected: 'FAST'"),
    ('expected: DIRECT', 'link_timeout: long', "scenarios[0].link_timeout: 'long'"),
    ('to: b', 'to: a', 'from and to are both a'),
    ('to: b', 'to: c', 'needs hosts.c.address'),
    ('[raw, overlay]', '[air]', 'scenarios[0].paths'),
    ('expected: DIRECT', 'tools: [udp]', 'scenarios[0].tools'),
    ('expected: DIRECT', 'address: -x', "scenarios[0].address: '-x'"),
    ('10.0.0.2', '-oProxyCommand=x', 'hosts.b.address'),
    ('10.0.0.2', '"10.0.0.2 -x"', 'hosts.b.address'),
    ('repetitions: 2', 'places: {x: {x: 1}}', 'x and y go together'),
    ('repetitions: 2', 'places: {library: {}}', 'there is no place pair; there are library'),
    ('omit: 1', 'seconds: 1', 'seconds is there twice, in lines 7 and 7'),
    ('name: short', 'name: [', 'not YAML (line')])
def test_an_invalid_value_is_named(before, after, part):
    assert before in TEXT
    with pytest.raises(CampaignError) as caught:
        campaign.parse(TEXT.replace(before, after, 1), 'my.yaml')
    assert caught.value.sentence.startswith('my.yaml') and part in caught.value.sentence


@pytest.mark.parametrize('text', ['', '[]', 'version', 'version: 1', TEXT + TEXT.split('scenarios:')[1]])
def test_another_file_is_refused(text):
    with pytest.raises(CampaignError):
        campaign.parse(text)


def test_a_missing_file(tmp_path):
    with pytest.raises(CampaignError) as caught:
        campaign.load(str(tmp_path / 'none.yaml'))
    assert 'cannot be read: No such file' in caught.value.sentence


def test_the_video_campaign_fits_its_lab():
    from ua_overlay.lab.lab import load_topology
    read = campaign.load(os.path.join(ROOT, 'config', 'campaigns', 'video.yaml'))
    topology = load_topology(os.path.join(ROOT, 'config', 'lab', 'video.yaml'))
    robots = {robot.name: robot for robot in topology.robots}
    assert {scenario.source for scenario in read.scenarios} | {'viewer'} == set(robots)
    assert {scenario.target for scenario in read.scenarios} == {'viewer'}
    assert {name: host.address for name, host in read.hosts.items()} == {
        name: robots[name].address for name in read.hosts}
    nats = {'DIRECT': 'easy', 'PEER_RELAY': 'hard', 'DERP': 'udp-blocked'}
    for scenario in read.scenarios:
        assert topology.nat(robots[scenario.source].behind).kind == nats[scenario.expected]
        assert (topology.links[scenario.source].loss > 0) == (scenario.place == 'bad')


def test_a_scenario_may_override_the_target_address():
    read = campaign.parse(TEXT.replace('expected: DIRECT', 'address: 203.0.113.10', 1))
    assert read.scenarios[0].address == '203.0.113.10' and short().scenarios[0].address == ''
    # Then the host needs no address.
    assert campaign.parse(TEXT.replace('expected: DIRECT', 'address: 203.0.113.10', 1).replace(
        'to: b', 'to: c', 1)).scenarios[0].target == 'c'


@pytest.mark.parametrize('name, lab', [('campus', 'campus'), ('links', 'links'), ('mtu', 'links'), ('ros', 'links'),
                                       ('tuning', 'video')])
def test_every_shipped_campaign_fits_its_lab(name, lab):
    from ua_overlay.lab.lab import load_topology
    read = campaign.load(os.path.join(ROOT, 'config', 'campaigns', name + '.yaml'))
    topology = load_topology(os.path.join(ROOT, 'config', 'lab', lab + '.yaml'))
    robots = {robot.name: robot for robot in topology.robots}
    assert {each.place for each in read.scenarios} == set(read.places)
    for each in read.scenarios:
        assert each.source in robots and each.target in robots
        if each.address:
            # Without the overlay only forwarded ports lead to the target.
            router = topology.nat(robots[each.target].behind)
            assert (router.address, dict(router.forward)[5201]) == (each.address, robots[each.target].address)
        elif 'raw' in each.paths:
            assert read.hosts[each.target].address == robots[each.target].address
