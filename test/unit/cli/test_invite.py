"""`ua-overlay invite`: the machines, their files, and the cleanup after a file that cannot be written."""
import datetime
import importlib
import json
import os
from types import SimpleNamespace

import pytest

from ua_overlay.cli import complete, main
from ua_overlay.errors import UsageError
from ua_overlay.site.invitation_list import ListedInvitation
from ua_overlay.site.inviter import Invitee
from ua_overlay.trust import invitation_file
from ua_overlay.trust.invitation import Invitation, InvitationError

command = importlib.import_module('ua_overlay.cli.invite')
NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.timezone.utc)


class Played:
    """An Inviter; makes what it is asked for."""

    def __init__(self):
        self.asked, self.back = None, []

    def invite(self, invitees, lifetime, team, user, force, pin_ca, replace):
        self.asked = dict(invitees=invitees, lifetime=lifetime, team=team, user=user, force=force, pin_ca=pin_ca)
        return [(Invitation(
            server_url='https://s.test:8080', ca_pem='CA', key='hskey-auth-secret', robot=each.name, team=team,
            user=user, created=NOW, expires=NOW + datetime.timedelta(hours=1)), str(number))
            for number, each in enumerate(invitees, 1)]

    def take_back(self, key_ids):
        self.back += key_ids

    def list(self):
        return [ListedInvitation('1', 'dev-1', 'iris', '', True, 'used', NOW, NOW, 'root (sudo by ana)', 'dev-1', NOW),
                ListedInvitation('2', 'laptop-1', '', 'ana', False, 'open', NOW, NOW, 'root', '', None)]

    def revoke(self, what):
        return [entry for entry in self.list() if what in (entry.key, entry.machine)]


@pytest.fixture
def played(monkeypatch, tmp_path):
    inviter = Played()
    monkeypatch.setattr(command, 'make_inviter', lambda site: inviter)
    monkeypatch.setattr(command, 'load_site', lambda args: SimpleNamespace(command=lambda text: 'ua-overlay ' + text))
    monkeypatch.chdir(tmp_path)
    return inviter


@pytest.mark.parametrize('argv, completed', [
    ('invite iris dev-1', 'invite create iris dev-1'), ('invite --dir /x iris a', 'invite create --dir /x iris a'),
    ('invite list --json', 'invite list --json'), ('invite revoke 3', 'invite revoke 3'),
    ('invite create list dev-1', 'invite create list dev-1'), ('invite --help', 'invite --help'), ('invite', 'invite'),
    ('team list', 'team list'), ('', '')])
def test_create_is_the_default_subcommand(argv, completed):
    assert complete(argv.split()) == completed.split()


def test_one_robot(played, tmp_path, capsys):
    assert main(['invite', 'iris', 'dev-1', '--master', '--expires', '2h']) == 0
    assert played.asked == dict(invitees=[Invitee('dev-1', True)], lifetime=7200, team='iris', user='', force=False,
                                pin_ca=False)
    path = tmp_path / 'dev-1.invitation.yaml'
    assert path.stat().st_mode & 0o777 == 0o600
    output = capsys.readouterr().out
    assert str(path) in output and 'joins the team iris once' in output and 'secret' not in output


def test_a_batch_from_names_and_a_file(played, tmp_path, capsys):
    (tmp_path / 'robots.txt').write_text('# the fleet\n dev-2  master # it carries the roscore\n\ndev-3\n')
    assert main('invite iris dev-1 --batch robots.txt --output-dir out --ca-sha256 --json'.split()) == 0
    assert played.asked['invitees'] == [Invitee('dev-1', False), Invitee('dev-2', True), Invitee('dev-3', False)]
    assert played.asked['pin_ca'] is True
    rows = json.loads(capsys.readouterr().out)
    assert [(row['robot'], row['number']) for row in rows] == [('dev-1', '1'), ('dev-2', '2'), ('dev-3', '3')]
    assert os.stat('out').st_mode & 0o777 == 0o700
    assert sorted(os.listdir('out')) == ['dev-{}.invitation.yaml'.format(number) for number in (1, 2, 3)]
    assert rows[0]['file'] == str(tmp_path / 'out' / 'dev-1.invitation.yaml')


def test_machines_of_a_user(played, capsys):
    assert main('invite --user ana laptop-1 laptop-2'.split()) == 0
    assert (played.asked['team'], played.asked['user']) == ('', 'ana')
    assert [each.name for each in played.asked['invitees']] == ['laptop-1', 'laptop-2']
    assert 'the group of user ana' in capsys.readouterr().out


@pytest.mark.parametrize('argv, words', [
    ('invite --expires 1h', 'No team given'), ('invite iris', 'No robot given. Next: ua-overlay invite iris ROBOT'),
    ('invite --user ana', 'No machine given'), ('invite lits', 'No robot given. Did you mean `list`?'),
    ('invite iris dev-1 dev-2 --master', '--master is for one robot'),
    ('invite --user ana laptop --master', 'in no team'),
    ('invite iris dev-1 dev-2 --output x', '--output-dir'), ('invite iris dev-1 --output - --json', '--json'),
    ('invite iris --batch nowhere.txt', 'nowhere.txt'), ('invite iris --batch bad.txt', 'Line 2 of bad.txt'),
    ('invite --user ana --batch master.txt', 'in no team')])
def test_an_invalid_command_line_is_refused_before_a_key_is_made(played, tmp_path, capsys, argv, words):
    (tmp_path / 'bad.txt').write_text('dev-1\ndev-2 boss\n')
    (tmp_path / 'master.txt').write_text('laptop master\n')
    assert main(argv.split()) == 2
    assert words in capsys.readouterr().err and played.asked is None


def test_an_invalid_or_existing_output(played, tmp_path, capsys):
    assert main('invite iris dev-1 --output-dir nowhere/at/all'.split()) == 1
    assert 'mkdir -p -m 700' in capsys.readouterr().err and played.asked is None
    (tmp_path / 'dev-2.invitation.yaml').write_text('another')
    assert main('invite iris dev-1 dev-2'.split()) == 1
    assert 'exists already' in capsys.readouterr().err and played.asked is None
    assert not (tmp_path / 'dev-1.invitation.yaml').exists()


def test_an_unwritable_file_revokes_all_keys_and_leaves_no_file(played, tmp_path, monkeypatch, capsys):
    written = []
    real = invitation_file.write

    def write(path, invitation, owner=None):
        if len(written) == 2:
            raise InvitationError('The disk is full.')
        written.append(path)
        real(path, invitation)

    monkeypatch.setattr(command.invitation_file, 'write', write)
    assert main('invite iris dev-1 dev-2 dev-3'.split()) == 1
    assert played.back == ['1', '2', '3'] and os.listdir(str(tmp_path)) == []


def test_the_list_as_table_and_json(played, capsys):
    assert main(['invite', 'list']) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split()[:4] == ['NUMBER', 'MACHINE', 'INTO', 'STATE']
    assert 'ana@' in text and 'root (sudo by ana)' in text
    assert main(['invite', 'list', '--json', '--open']) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row['number'], row['user'], row['used_at']) for row in rows] == [('2', 'ana', None)]
    assert main(['invite', 'list', '--team', 'blue']) == 0
    assert 'No invitations' in capsys.readouterr().out


def test_revoking(played, capsys):
    assert main(['invite', 'revoke', 'laptop-1', '1']) == 0
    assert capsys.readouterr().out == 'Revoked invitation 2 of laptop-1.\nRevoked invitation 1 of dev-1.\n'


def test_comments_and_empty_lines_are_ignored():
    args = SimpleNamespace(user='', names=['iris', 'dev-1'], master=False, batch='x')
    assert command.parse_invitees(args, ['# dev-2', '   ']) == ('iris', [Invitee('dev-1', False)])
    with pytest.raises(UsageError):
        command.parse_invitees(args, ['dev-2 master dev-3'])


@pytest.mark.skipif(os.geteuid() != 0, reason='giving a file away needs root')
def test_under_sudo_the_file_belongs_to_the_caller(played, monkeypatch):
    """`scp` without sudo must be able to read it; nobody else may."""
    monkeypatch.setenv('SUDO_UID', '4711')
    monkeypatch.setenv('SUDO_GID', '4712')
    assert main(['invite', 'iris', 'dev-1', '--output-dir', 'new']) == 0
    for path, mode in (('new', 0o700), ('new/dev-1.invitation.yaml', 0o600)):
        found = os.stat(path)
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (4711, 4712, mode)
