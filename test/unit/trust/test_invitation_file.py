"""The file of an invitation: read back as it was written, and everything else named without showing the key."""
import dataclasses
import datetime
import os
import stat
import traceback

import pytest

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.trust import ca as ca_module
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import invitation_file
from ua_overlay.trust.invitation import Invitation, InvitationError

NOW = datetime.datetime(2026, 11, 22, 18, 48, 52, tzinfo=datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)
KEY = 'hskey-auth-AbCdEf123456-' + 'S3cretS3cret-_xy' * 4
CA_KEY, CA = ca_module.create_ca('lab', ['server.ua.test'], ['203.0.113.10'], NOW)
GOOD = Invitation(server_url='https://server.ua.test:8080', ca_pem=certificates.dump_certificates(CA), key=KEY,
                  team='iris', robot='dev-1', team_port=TEAM_PORT, addressing='names', master=False, created=NOW,
                  expires=NOW + HOUR)


def refused(text):
    with pytest.raises(InvitationError) as caught:
        invitation_file.parse(text, '/tmp/dev-1.yaml')
    error = caught.value
    whole_trace = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
    assert KEY[20:40] not in str(error) and KEY[20:40] not in whole_trace
    assert '/tmp/dev-1.yaml' in error.sentence and '\n' not in str(error)
    assert error.next_command
    return error


def edited(name, value):
    """Return the good text with one field's line replaced (None: dropped)."""
    lines = invitation_file.dump(GOOD).splitlines()
    if value is None:
        lines = [line for line in lines if not line.startswith(name + ':')]
    return '\n'.join('{}: {}'.format(name, value) if line.startswith(name + ':') else line for line in lines) + '\n'


@pytest.mark.parametrize('changes', [
    {}, {'master': True}, {'addressing': 'addresses'}, {'team_port': 11311}, {'team': 'no', 'robot': 'null'},
    {'team': 'e1', 'robot': 'on'}, {'server_url': 'https://server.ua.test'}])
def test_round_trip(changes):
    invitation = dataclasses.replace(GOOD, **changes)
    assert invitation_file.parse(invitation_file.dump(invitation), 'x') == invitation


def test_times_have_whole_seconds():
    precise = dataclasses.replace(GOOD, created=NOW.replace(microsecond=5))
    assert invitation_file.parse(invitation_file.dump(precise), 'x').created == NOW


def test_the_first_line_describes_the_file():
    first = invitation_file.dump(GOOD).splitlines()[0]
    assert 'invitation' in first and 'dev-1' in first and 'iris' in first and '2026-11-22T19:48:52Z' in first


def test_windows_line_endings_are_accepted():
    parsed = invitation_file.parse(invitation_file.dump(GOOD).replace('\n', '\r\n'), 'x')
    assert parsed.key == KEY and parsed.robot == 'dev-1'


def test_a_truncated_copy_is_detected():
    text = invitation_file.dump(GOOD).rstrip()
    wrong = [length for length in range(len(invitation_file.TITLE), len(text))
             if 'is cut short: its last line' not in refused(text[:length]).sentence]
    assert wrong == []
    for length in range(1, len(invitation_file.TITLE)):
        refused(text[:length])
    assert 'is empty' in refused('').sentence
    assert 'is empty' in refused('\n \n').sentence


@pytest.mark.parametrize('text, reason', [
    ('key: [' + KEY + '\n...\n', 'something other than'),
    ('version: 1\nkey: "' + KEY + '\n...\n', 'is not YAML (line 3)'),
    ('key: ' + KEY + ': ' + KEY + '\n...\n', 'is not YAML (line 1)'),
    ('\tkey: "' + KEY + '"\n...\n', 'is not YAML'),
    ('key: !!python/object/apply:os.system ["true"]\n...\n', 'something other than'),
    ('- ' + KEY + '\n...\n', 'not a list of fields'),
    (KEY + '\n', 'not a list of fields'),
    ('? [a, b]\n: c\n...\n', 'something other than'),
    ('a: &x {b: c}\nd: *x\n...\n', 'something other than'),
    ('[' * 60000, 'not a list of fields'),
    ('a: ' + '[' * 60000, 'something other than'),
    ('a: ' + '{b: ' * 10000, 'something other than'),
    ('hello: world\n...\n', 'no field `version`'),
])
def test_a_text_that_is_not_an_invitation(text, reason):
    assert reason in refused(text).sentence


@pytest.mark.parametrize('name, value, reason', [
    ('version', '"1.5"', 'the number 1'), ('version', 'one', 'the number 1'),
    ('server_url', '"http://server.ua.test"', 'https://'), ('server_url', '"https://203.0.113.10:8080"', 'DNS name'),
    ('server_url', '"https://x:' + KEY + '@server.ua.test"', 'password'),
    ('team', '"Iris"', 'field team'), ('team', '"relay"', 'field team'), ('robot', '"dev_1"', 'field robot'),
    ('team_port', '0', 'TCP port'), ('team_port', '65536', 'TCP port'), ('team_port', '11312.0', 'TCP port'),
    ('team_port', '-1', 'TCP port'), ('team_port', '٣', 'TCP port'),
    ('addressing', '"both"', 'names or addresses'), ('master', '"yes"', 'true or false'),
    ('key', '"short"', 'pre-auth key'), ('key', '"' + KEY + ' x"', 'pre-auth key'), ('key', '""', 'pre-auth key'),
    ('key', '"file:/etc/shadow-is-long-enough"', 'pre-auth key'),
    ('created', '"yesterday"', 'a time like'), ('expires', '"2026-02-30T00:00:00Z"', 'a time like'),
    ('expires', '"2026-11-22T18:00:00Z"', 'after created'), ('created', '"2026-11-22T18:48:52"', 'a time like'),
])
def test_a_bad_field_is_named(name, value, reason):
    error = refused(edited(name, value))
    assert error.code == 'INVITATION_INVALID'
    assert name in error.sentence and reason in error.sentence


@pytest.mark.parametrize('name', sorted(set(invitation_file.fields_of(GOOD)) - {'version', 'ca_pem'}))
def test_a_missing_field_is_named(name):
    assert 'lacks the field ' + name in refused(edited(name, None)).sentence


def test_unknown_and_repeated_fields():
    text = invitation_file.dump(GOOD)
    sentence = refused(text.replace('version: 1\n', 'version: 1\nsudo: true\n')).sentence
    assert 'has a field sudo (line 8) that version 1' in sentence
    assert 'has a field team_prt (line' in refused(text.replace('team_port', 'team_prt')).sentence
    assert KEY not in refused(text.replace('version: 1\n', 'version: 1\n{}: 1\n'.format(KEY))).sentence
    assert 'two fields with the same name' in refused(text.replace('version: 1\n', 'version: 1\nkey: x\n')).sentence


def test_another_version_is_reported_before_anything_else():
    text = invitation_file.dump(GOOD).replace('version: 1\n', 'version: 3\n').replace('addressing', 'wing_span')
    error = refused(text)
    assert error.code == 'INVITATION_VERSION' and 'version 3' in error.sentence
    assert 'version 1 and 2' in error.sentence


PINNED = dataclasses.replace(GOOD, ca_pem='', ca_sha256='ab' * 32)
PERSONAL = dataclasses.replace(GOOD, team='', team_port=TEAM_PORT, user='ana', robot='laptop-1')


@pytest.mark.parametrize('invitation', [PINNED, PERSONAL, dataclasses.replace(PERSONAL, ca_pem='', ca_sha256='0f' * 32),
                                        dataclasses.replace(PINNED, ca_sha256='ab' * 32 + ' ' + 'cd' * 32)])
def test_fields_of_version_2(invitation):
    text = invitation_file.dump(invitation)
    assert '\nversion: 2\n' in text and 'version: 1' in invitation_file.dump(GOOD)
    assert invitation_file.parse(text, 'x') == invitation
    error = refused(text.replace('version: 2', 'version: 1'))
    assert error.code == 'INVITATION_INVALID'


@pytest.mark.parametrize('old, new, words', [
    ('ca_sha256: "' + 'ab' * 32, 'ca_sha256: "' + 'AB' * 32, 'SHA-256'), ('"' + 'ab' * 32 + '"', '"abab"', 'SHA-256'),
    ('team: "iris"', 'user: "ana"', 'does not go with'), ('key:', 'user: "ana"\nkey:', 'field team'),
    ('ca_sha256: "' + 'ab' * 32 + '"\n', '', 'lacks the field ca_pem'), ('"iris"', '"relay"', 'team'),
    ('ca_sha256', 'ca_pem: x\nca_sha256', 'field ca_pem')])
def test_incompatible_fields_are_refused(old, new, words):
    text = invitation_file.dump(PINNED)
    assert old in text
    assert words in refused(text.replace(old, new)).sentence


@pytest.mark.parametrize('name', ['A', 'a', 'ana_maria', '-a', ''])
def test_an_invalid_user_name_is_refused(name):
    assert 'user' in refused(invitation_file.dump(PERSONAL).replace('"ana"', '"{}"'.format(name))).sentence


def test_the_ca_must_be_a_ca():
    _, leaf = certificates.issue_server_certificate(CA_KEY, CA, ['server.ua.test'], [], NOW)
    for pem, reason in [(certificates.dump_certificates(leaf), 'not a CA'), ('hello', 'no certificate'),
                        (GOOD.ca_pem[:300], 'cut short'),
                        (GOOD.ca_pem + certificates.dump_private_key(CA_KEY), 'private')]:
        text = invitation_file.dump(dataclasses.replace(GOOD, ca_pem=pem))
        assert reason in refused(text).sentence
    text = invitation_file.dump(GOOD)
    assert 'lacks the field ca_pem' in refused(text[:text.index('ca_pem')] + '...\n').sentence


def test_files_are_written_0600_and_read_back(tmp_path):
    path = tmp_path / 'dev-1.invitation.yaml'
    old = os.umask(0)
    try:
        invitation_file.write(str(path), GOOD)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert invitation_file.read(path) == invitation_file.read(str(path)) == GOOD


def test_a_missing_directory(tmp_path):
    with pytest.raises(InvitationError, match='cannot be written to .*no such file'):
        invitation_file.write(str(tmp_path / 'nowhere' / 'x.yaml'), GOOD)


def test_a_missing_file(tmp_path):
    for path in (tmp_path / 'none.yaml', tmp_path / 'a' / 'b'):
        with pytest.raises(InvitationError) as caught:
            invitation_file.read(path)
        assert caught.value.code == 'INVITATION_MISSING' and str(path) in caught.value.sentence


@pytest.mark.fault('K7', 'The join service gets a relative path', reported='at once: the answer of the service',
                   behaviour='the error names the directory in which the program runs, not a new invitation',
                   recovery='with the whole path', lost='nothing')
def test_a_relative_path_is_not_a_reason_for_a_new_invitation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvitationError) as caught:
        invitation_file.read('usb stick/dev-1.yaml')
    assert caught.value.code == 'INVITATION_MISSING' and str(tmp_path) in caught.value.sentence
    assert caught.value.next_command.startswith("realpath 'usb stick/dev-1.yaml' ")


@pytest.mark.parametrize('mode', [0o604, 0o602, 0o644, 0o620, 0o666, 0o601])
def test_a_file_readable_by_others_is_refused(tmp_path, mode):
    path = tmp_path / 'dev-1.yaml'
    invitation_file.write(str(path), GOOD)
    path.chmod(mode)
    with pytest.raises(InvitationError, match='open to other users') as caught:
        invitation_file.read(path)
    assert caught.value.next_command == 'chmod 600 {}'.format(path)
    path.chmod(0o640)       # root:robot, as provisioning tools do it
    assert invitation_file.read(path) == GOOD


def test_directories_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(str(tmp_path / 'pipe'))
    for path in (tmp_path, tmp_path / 'pipe', '/dev/null'):
        with pytest.raises(InvitationError, match='not a regular file'):
            invitation_file.read(path)


def test_long_and_binary_files_are_refused(tmp_path):
    path = tmp_path / 'x.yaml'
    for data, reason in [(b'#' * 70000, 'too long'), (b'\xff\xfe\x00' * 9, 'is not text'), (b'', 'is empty')]:
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(InvitationError, match=reason):
            invitation_file.read(path)


def test_the_key_is_in_the_file():
    assert KEY in invitation_file.dump(GOOD)


def test_a_pinned_invitation_is_short_and_a_user_s_has_no_team():
    assert len(invitation_file.dump(PINNED)) < 900 and 'CERTIFICATE' not in invitation_file.dump(PINNED)
    assert 'team' not in {line.split(':')[0] for line in invitation_file.dump(PERSONAL).splitlines()}
