"""A full disk under tailscaled's state: who says so, and who has the identity saved. With tailscaled itself:
test/lab/test_localapi.py."""
import base64
import json
import os

import pytest
from full_disk import needs_root, small_file_system

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale import state_file
from ua_overlay.tailscale.state_file import IdentityKeeper, holds_identity, path_of, shortage


def state(**values):
    """A state file with these values, as tailscaled writes them."""
    return json.dumps({name.replace('profile_', 'profile-'): base64.b64encode(
        value if isinstance(value, bytes) else value.encode()).decode() for name, value in values.items()})


SAVED = state(_machinekey='privkey:aa', **{'_current-profile': 'profile-05db', 'profile_05db': json.dumps(
    {'ControlURL': 'https://x', 'Config': {'PrivateNodeKey': 'privkey:bb'}})})
#: As a tailscaled 1.102.5 left it that joined on a full disk.
UNSAVED = state(_machinekey='privkey:aa', _profiles='{}', **{'_current-profile': 'profile-583a'})


@pytest.mark.parametrize('text, holds', [
    (SAVED, True), (UNSAVED, False), (state(_machinekey='privkey:aa'), False),
    (state(**{'_current-profile': 'profile-1', 'profile_1': '{"Config": {"PrivateNodeKey": ""}}'}), False),
    ('{}', False), ('', None), ('{', None), ('[]', None), ('{"_current-profile": 5}', None),
    ('{"_current-profile": "*"}', None), ('{"_current-profile": "AA==", "\\u0000": {}}', False),
    (state(**{'_current-profile': 'profile-1', 'profile_1': b'\xff\xfe'}), None), ('[' * 100000, None)],
    ids=lambda value: repr(value)[:30])
def test_whether_a_state_file_has_the_identity(text, holds):
    assert holds_identity(text) is holds


@needs_root
def test_a_full_file_system_is_named(tmp_path):
    with small_file_system(tmp_path / 'lib', '256k') as disk:
        os.mkdir(os.path.join(disk.path, 'tailscale'), 0o700)
        path = os.path.join(disk.path, 'tailscale', 'tailscaled.state')
        assert shortage(path) is None
        disk.fill()
        lack = shortage(path)
        assert lack.sentence.startswith('The file system {} is full: tailscaled cannot save'.format(disk.path))
        assert lack.next_command == 'df -h ' + disk.path
    assert shortage(str(tmp_path / 'none' / 'state')) is None


def test_the_state_file_of_the_tailscaled_that_answers():
    assert path_of('sock', lambda path: None) == '/var/lib/tailscale/tailscaled.state'
    assert path_of('sock', lambda path: 7, lambda pid: ('/x/tailscaled', '--statedir=/data/ts')) == \
        '/data/ts/tailscaled.state'
    assert path_of('sock', lambda path: 7, lambda pid: ('tailscaled', '--state=mem:')) == ''


class Daemon:
    """Saves its state when a preference changes, if there is room."""

    def __init__(self, path):
        self.path, self.room, self.state, self.prefs, self.edits = path, False, 'Running', {}, []

    def status(self, peers=True):
        return {'BackendState': self.state}

    def edit_prefs(self, **fields):
        self.edits.append(fields)
        if self.room and {**self.prefs, **fields} != self.prefs:
            self.path.write_text(SAVED)
        self.prefs.update(fields)


@pytest.fixture
def daemon(tmp_path):
    (tmp_path / 'state').write_text(UNSAVED)
    return Daemon(tmp_path / 'state')


def test_an_identity_is_saved_as_soon_as_there_is_room(daemon):
    said = []
    keeper = IdentityKeeper(daemon, lambda: str(daemon.path), said.append)
    for _ in range(3):
        assert 'a restart would lose it' in keeper.step()
    assert len(said) == 1 and 'a restart would lose it' in said[0] and str(daemon.path) in said[0]
    daemon.room = True
    assert keeper.step() == ''
    assert said[1:] == ["tailscaled has saved this robot's identity now; there was no room for it before."]
    assert holds_identity(daemon.path.read_text()) and daemon.prefs == {'NotepadURLs': False}
    edits = len(daemon.edits)
    keeper.step()
    assert len(daemon.edits) == edits and len(said) == 2


@pytest.mark.parametrize('text, running', [(SAVED, True), ('sealed by the TPM', True), (UNSAVED, False)])
def test_nothing_is_touched_otherwise(daemon, text, running):
    daemon.path.write_text(text)
    daemon.state = 'Running' if running else 'NeedsLogin'
    IdentityKeeper(daemon, lambda: str(daemon.path), print).step()
    IdentityKeeper(daemon, lambda: '', print).step()
    assert daemon.edits == []


def test_a_loop_that_finds_nothing_goes_on():
    rounds = []

    class Stop:
        def wait(self, seconds):
            rounds.append(seconds)
            return len(rounds) > 2

    def gone():
        raise OSError(2, 'No such file or directory')

    class Away:
        def status(self, peers=True):
            raise OverlayError('No tailscaled answers.')

    IdentityKeeper(Away(), gone).run(Stop())
    assert rounds == [state_file.PERIOD] + [state_file.RETRY] * 2
