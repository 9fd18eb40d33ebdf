"""Which network tailscaled is in: its LocalAPI, its state file, and the refusal. Recorded with tailscaled 1.98.10.

test/lab/test_take_over.py has the real thing."""
import base64
import json

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale import tailnet
from ua_overlay.tailscale.tailnet import DEFAULT_URL, OtherTailnet, Profile

SITE = ('server.ua.test', '203.0.113.10')
OURS = {'ID': 'a1b2', 'Key': 'profile-a1b2', 'Name': 'tagged', 'ControlURL': 'https://server.ua.test:8080'}
THEIRS = {'ID': 'c3d4', 'Key': 'profile-c3d4', 'Name': 'ana@example.org', 'ControlURL': DEFAULT_URL}


def encoded(value):
    return base64.b64encode(value.encode()).decode()


def state(profiles, current=''):
    return json.dumps({'_machinekey': encoded('privkey:0'), '_current-profile': encoded(current),
                       '_profiles': encoded(json.dumps({each['ID']: each for each in profiles}))})


def test_profiles_of_the_state_file():
    found = tailnet.parse_state(state([OURS, THEIRS], 'profile-c3d4'))
    assert found == (Profile('a1b2', 'https://server.ua.test:8080', 'tagged'),
                     Profile('c3d4', DEFAULT_URL, 'ana@example.org', True))
    assert tailnet.parse_state('{"_machinekey": "cHJpdmtleTow"}') == ()


@pytest.mark.parametrize('text', ['x', '[]', '{"_profiles": 3}', '{"_profiles": "!"}', '{"_profiles": "W10="}',
                                  '{"_current-profile": 1}', '{"key": {}, "nonce": "", "data": ""}'])
def test_a_damaged_or_sealed_state_file(text, tmp_path):
    path = tmp_path / 'tailscaled.state'
    path.write_text(text)
    with pytest.raises(ValueError):
        tailnet.parse_state(text)
    with pytest.raises(OtherTailnet, match='cannot be seen') as caught:
        tailnet.read_state(str(path))
    assert 'systemctl start tailscaled' in caught.value.next_command


def test_a_missing_and_an_empty_state_file(tmp_path):
    assert tailnet.read_state(str(tmp_path / 'none')) == ()
    (tmp_path / 'empty').write_text('')
    assert tailnet.read_state(str(tmp_path / 'empty')) == ()
    with pytest.raises(OtherTailnet, match='directory'):
        tailnet.read_state(str(tmp_path))


def test_profiles_of_the_localapi():
    found = tailnet.parse_profiles([OURS, THEIRS, {'ID': ''}, 3], THEIRS)
    assert [(each.id, each.current) for each in found] == [('a1b2', False), ('c3d4', True)]
    # A new login has no ID yet, so none of the saved ones is in use.
    assert not any(each.current for each in tailnet.parse_profiles([OURS, THEIRS], {'ID': ''}))
    assert tailnet.parse_profiles({}, []) == () and tailnet.parse_profiles([{'ID': 3, 'ControlURL': []}], {}) == ()


@pytest.mark.parametrize('url, ours', [
    ('https://server.ua.test:8080', True), ('https://server.ua.test', True), ('https://203.0.113.10:8080', True),
    ('https://other.example:8080', False), (DEFAULT_URL, False), ('', False), ('https://[', False)])
def test_the_sites_own_control_server(url, ours):
    assert tailnet.is_site(url, SITE) is ours


def test_synonyms_of_the_vendors_control_server():
    assert tailnet.normal_url('') == tailnet.normal_url('https://login.tailscale.com/') == DEFAULT_URL


def test_foreign_logins_begin_with_the_one_in_use():
    profiles = (Profile('x', 'https://other.example'), Profile('a', 'https://server.ua.test:8080', current=True),
                Profile('c', DEFAULT_URL, current=True))
    assert [each.id for each in tailnet.foreign_profiles(profiles, SITE)] == ['c', 'x']


def test_what_would_be_lost():
    assert tailnet.losses({}) == [] == tailnet.losses({'AdvertiseRoutes': None, 'AppConnector': {'Advertise': False}})
    assert tailnet.losses({
        'AdvertiseRoutes': ['10.0.0.0/24', '0.0.0.0/0', '::/0'], 'ExitNodeID': 'n1', 'RouteAll': True, 'RunSSH': True,
        'AdvertiseServices': ['svc:x'], 'AppConnector': {'Advertise': True}}) == [
            'its role as an exit node', 'the routes that it advertises (10.0.0.0/24)', 'its exit node',
            'the routes of other machines', 'Tailscale SSH', 'the services that it offers',
            'its role as an app connector']


@pytest.mark.fault('case 8', 'The robot is in another tailnet already, when robot prepare runs',
                   behaviour='nothing is written', reported='at once: robot prepare names the control server and what '
                   'would be lost', recovery='robot prepare --take-over; --undo returns to it', lost='nothing')
def test_the_refusal_names_the_server_and_the_losses():
    with pytest.raises(OtherTailnet) as caught:
        tailnet.check_tailnet([Profile('c', DEFAULT_URL, 'ana', True)], 'robot-7.tail1234.ts.net.',
                              ('100.101.102.103',), ['Tailscale SSH'], 2, 'sudo ua-overlay robot prepare --user robot')
    assert caught.value.sentence == (
        'This machine is in the network of https://controlplane.tailscale.com (as robot-7.tail1234.ts.net, '
        '100.101.102.103), and would be cut off from it. Lost would be: 2 open connections to this machine, Tailscale '
        'SSH.')
    assert caught.value.next_command.startswith('sudo ua-overlay robot prepare --user robot --take-over   # ')
    with pytest.raises(OverlayError, match=r'keeps a login at https://other.example \(profile ana\)'):
        tailnet.check_tailnet([Profile('c', 'https://other.example', 'ana')], '', (), (), 0, 'again')
    tailnet.check_tailnet([], '', (), (), 0, 'again')


def test_a_hostile_name_does_not_reach_the_terminal():
    with pytest.raises(OtherTailnet) as caught:
        tailnet.check_tailnet([Profile('c', 'https://a\x1b[2J', '', True)], 'x\x1b[2J', (), (), 0, 'again')
    assert '\x1b' not in str(caught.value)
