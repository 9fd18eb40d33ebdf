"""Inviting one machine or many: all or none. Headscale is played here; the real one: test_invitations_real.py."""
import datetime
from types import SimpleNamespace

import pytest
from full_disk import needs_root, small_file_system

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale.model import Node, PreAuthKey
from ua_overlay.headscale.rest import RestError, ServerDown
from ua_overlay.headscale.rules import Rules, Team, User
from ua_overlay.site.admin import RobotError, TeamError
from ua_overlay.site.invitation_list import OPEN, REVOKED
from ua_overlay.site.invitation_log import InvitationLog
from ua_overlay.site.inviter import Invitee, Inviter, UserError
from ua_overlay.trust import ca as ca_module
from ua_overlay.trust import ca_pin
from ua_overlay.trust import certificate as certificates

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.timezone.utc)
CA = certificates.dump_certificates(ca_module.create_ca('lab', ['s.test'], [], NOW)[1])


class Headscale:
    def __init__(self):
        self.here = [Node('1', 'dev-9', 'dev-9', (), ('tag:blue',), True, None, None, None),
                     Node('2', 'laptop-9', 'laptop-9', (), (), True, None, None, None, 'ana')]
        self.made = []
        self.expired = []
        self.people = {}
        self.fail_at = None

    def nodes(self):
        return self.here

    def users(self):
        return self.people

    def create_user(self, name):
        self.people[name] = '77'

    def create_key(self, tags, expiration, user_id=None):
        if self.fail_at == len(self.made):
            raise RestError('no more')
        key_id = str(len(self.made) + 1)
        self.made.append((tuple(tags), user_id, expiration))
        return PreAuthKey(key_id, 'hskey-auth-0123456789ab-' + key_id * 64, tuple(tags), False, False, NOW, expiration)

    def keys(self):
        return [PreAuthKey(str(number), '', tags, False, False, NOW, NOW if str(number) in self.expired else expiration,
                           'ana' if user else '')
                for number, (tags, user, expiration) in enumerate(self.made, 1)]

    def expire_key(self, key_id):
        self.expired.append(key_id)


class Killed(Headscale):
    """Is killed after two keys."""

    def create_key(self, tags, expiration, user_id=None):
        if len(self.made) == 2:
            raise ServerDown('It does not answer.')
        return super().create_key(tags, expiration, user_id)

    def expire_key(self, key_id):
        raise ServerDown('It does not answer.')


def test_invitations_of_a_killed_server_are_left_to_its_next_run(inviter):
    killed = Killed()
    killed.keys = lambda: killed.expire_key('')
    inviter._connect = lambda: killed
    with pytest.raises(OverlayError, match='It does not answer. Whether the invitations 1, 2 were revoked is unknown.*'
                                           'The server revokes them as soon as it can'):
        inviter.invite(robots('dev-1', 'dev-2', 'dev-3'), 3600, 'iris')
    losses = inviter._invitation_log.losses()
    assert {record['key'] for record in losses} == {'0', '1', '2'}
    assert losses[0]['since'] == '2026-11-24T12:00:00.000000Z'


@pytest.fixture
def headscale():
    return Headscale()


@pytest.fixture
def inviter(headscale, tmp_path):
    (tmp_path / 'ca.pem').write_text(CA)
    rules = Rules({'iris': Team('iris', 11400, 'addresses')}, (), {'ana': User('ana', ('iris',))})
    site = SimpleNamespace(teams=rules.teams, rules=rules, ca_file=str(tmp_path / 'ca.pem'),
                           settings=SimpleNamespace(url='https://s.test:8080'), path=lambda name: '/site/' + name,
                           command=lambda text: 'ua-overlay ' + text)
    return Inviter(site, lambda: headscale, InvitationLog(str(tmp_path / 'log'), lambda: NOW, 'root'), lambda: NOW)


def robots(*names, master=None):
    return [Invitee(name, name == master) for name in names]


def test_each_invitation_of_a_batch_has_the_settings_of_the_team(inviter, headscale):
    made = inviter.invite(robots('dev-1', 'dev-2', master='dev-2'), 3600, 'iris')
    assert [(invitation.robot, invitation.master, key_id) for invitation, key_id in made] == [
        ('dev-1', False, '1'), ('dev-2', True, '2')]
    assert all((each.team, each.team_port, each.addressing, each.ca_pem, each.version) == (
        'iris', 11400, 'addresses', CA, 1) for each, _ in made)
    assert headscale.made == [(('tag:iris',), None, NOW + datetime.timedelta(hours=1)),
                              (('tag:iris', 'tag:ros-master'), None, NOW + datetime.timedelta(hours=1))]
    assert made[0][0].key != made[1][0].key


def test_the_key_of_a_user_has_no_tags(inviter, headscale):
    invitation, _ = inviter.invite(robots('laptop-1'), 60, user='ana')[0]
    assert (invitation.user, invitation.team, invitation.version) == ('ana', '', 2)
    assert headscale.made[0][:2] == ((), '77') and headscale.people == {'ana': '77'}


def test_the_ca_can_be_pinned(inviter):
    invitation, _ = inviter.invite(robots('dev-1'), 60, 'iris', pin_ca=True)[0]
    assert invitation.ca_pem == '' and ca_pin.pick(invitation.ca_sha256, CA).strip() == CA.strip()


def test_during_a_change_of_the_ca_invitations_carry_both_certificates(inviter, headscale, tmp_path):
    second = ca_module.create_ca('lab', ['s.test'], [], NOW)[1]
    (tmp_path / 'ca.pem').write_text(CA + certificates.dump_certificates(second))
    with pytest.raises(UsageError, match='being changed'):
        inviter.invite(robots('dev-1'), 60, 'iris', pin_ca=True)
    assert headscale.made == []
    assert inviter.invite(robots('dev-1'), 60, 'iris')[0][0].ca_pem.count('BEGIN') == 2


@pytest.mark.parametrize('names, options, error, words', [
    (['dev-1'], {'team': 'rose'}, TeamError, 'no team rose'),
    (['dev-1'], {'user': 'bob'}, UserError, 'no user bob'),
    ([], {'team': 'iris'}, UsageError, 'No robots to invite'),
    (['dev-1', 'Dev 2'], {'team': 'iris'}, UsageError, 'Dev 2'),
    (['dev-1', 'relay'], {'team': 'iris'}, UsageError, 'reserved'),
    (['dev-1', 'dev-2', 'dev-1'], {'team': 'iris'}, UsageError, 'dev-1 is named twice'),
    (['dev-1', 'dev-9'], {'team': 'iris'}, RobotError, 'dev-9 already \\(team blue\\)'),
    (['laptop-9'], {'team': 'iris'}, RobotError, 'of user ana')])
def test_one_invalid_name_stops_the_whole_batch(inviter, headscale, names, options, error, words):
    with pytest.raises(error, match=words) as caught:
        inviter.invite(robots(*names), 60, **options)
    assert headscale.made == [] and inviter.list() == [] and caught.value.next_command


def test_two_masters_are_refused(inviter, headscale):
    with pytest.raises(UsageError, match='a team has one'):
        inviter.invite([Invitee('dev-1', True), Invitee('dev-2', True)], 60, 'iris')
    assert headscale.made == []


def test_force_invites_an_existing_name(inviter):
    assert inviter.invite(robots('dev-9'), 60, 'iris', force=True)


def test_keys_are_revoked_when_headscale_fails_half_way(inviter, headscale):
    headscale.fail_at = 2
    with pytest.raises(RestError):
        inviter.invite(robots('dev-1', 'dev-2', 'dev-3'), 60, 'iris')
    assert headscale.expired == ['1', '2']
    assert {entry.state for entry in inviter.list()} == {REVOKED}


def test_revoking_by_name_and_by_number(inviter, headscale):
    inviter.invite(robots('dev-1', 'dev-2'), 60, 'iris')
    inviter.invite(robots('dev-1'), 60, 'iris')
    assert [entry.key for entry in inviter.revoke('dev-1')] == ['1', '3'] and headscale.expired == ['1', '3']
    assert [(entry.machine, entry.state) for entry in inviter.list()] == [
        ('dev-1', REVOKED), ('dev-2', OPEN), ('dev-1', REVOKED)]
    assert [entry.machine for entry in inviter.revoke('2')] == ['dev-2']


def test_an_invitation_that_is_not_open_cannot_be_revoked(inviter, headscale):
    with pytest.raises(OverlayError, match='no invitation dev-1'):
        inviter.revoke('dev-1')
    inviter.invite(robots('dev-1', 'dev-2'), 60, 'iris')
    inviter.revoke('dev-1')
    with pytest.raises(OverlayError, match='dev-1: the last one is revoked') as caught:
        inviter.revoke('dev-1')
    headscale.here.append(Node('3', 'dev-2', 'dev-2', (), ('tag:iris',), True, None, None, NOW, '', '2'))
    inviter._invitation_log.note_used(headscale.here)
    with pytest.raises(OverlayError, match='used by dev-2') as caught:
        inviter.revoke('dev-2')
    assert caught.value.next_command == 'ua-overlay robot remove dev-2'


@pytest.mark.fault('K3', 'The disk is full while invitations are made', behaviour='no invitation: each key that was '
                   'made is revoked', reported='at once', recovery='when there is room', lost='nothing')
@needs_root
def test_a_full_disk_leaves_no_usable_key(inviter, headscale, tmp_path):
    with small_file_system(tmp_path / 'small', '8k') as small:
        inviter._invitation_log = InvitationLog(small.path + '/log', lambda: NOW, 'root')
        inviter.invite(robots('dev-0'), 3600, 'iris')
        small.fill()
        with pytest.raises((OSError, OverlayError)) as caught:
            inviter.invite(robots(*('car-{}'.format(number) for number in range(40))), 3600, 'iris')
        assert 'the file system {} is full'.format(small.path) in str(getattr(caught.value, 'strerror', None)
                                                                      or caught.value)
        assert len(headscale.made) > 1 and [key.id for key in headscale.keys() if key.usable(NOW)] == ['1']
        small.free()
        assert len(inviter.invite(robots('dev-1'), 3600, 'iris')) == 1
        assert [entry.machine for entry in inviter.list() if entry.state == OPEN] == ['dev-0', 'dev-1']
