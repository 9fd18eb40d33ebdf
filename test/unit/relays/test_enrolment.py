"""The file that enrols a remote host."""
import os

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.trust import store


@pytest.fixture(scope='module')
def trust(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp('trust') / 'site')
    store.init(directory, 's.test', ['s.test'], ['203.0.113.10'], utc_now())
    return directory


@pytest.fixture
def enrolment(trust):
    key, chain = store.issue(trust, ['lab-b.s.test'], utc_now(), 398)
    with open(os.path.join(trust, 'ca.pem')) as stream:
        ca_pem = stream.read()
    return enrolments.Enrolment(enrolments.DERP, 'lab-b', 'https://s.test:8080', ca_pem, '203.0.113.11', 8443,
                                stun_port=3478, host_name='lab-b.s.test', certificate=chain, certificate_key=key)


def test_an_enrolment_is_secret_and_survives_a_round_trip(enrolment, tmp_path):
    path = str(tmp_path / 'b.yaml')
    enrolments.write(path, enrolment)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert enrolments.read(path, enrolments.DERP) == enrolment
    assert 'PRIVATE KEY' not in repr(enrolment)


def test_a_wrong_kind_or_open_permissions_are_refused(enrolment, tmp_path):
    path = str(tmp_path / 'b.yaml')
    enrolments.write(path, enrolment)
    with pytest.raises(enrolments.EnrolmentError, match='enrolment of a derp, not of a relay'):
        enrolments.read(path, enrolments.RELAY)
    os.chmod(path, 0o644)
    with pytest.raises(enrolments.EnrolmentError, match='Other users of this machine'):
        enrolments.read(path, enrolments.DERP)
    with pytest.raises(enrolments.EnrolmentError, match='There is no enrolment'):
        enrolments.read(path + 'x', enrolments.DERP)


@pytest.mark.parametrize('change, word', [
    (lambda text: text[:len(text) // 2], 'enrolment'),
    (lambda text: text.replace('port: 8443', 'port: true'), 'port'),
    (lambda text: text.replace('https://', 'http://'), 'https'),
    (lambda text: text.replace('name: lab-b', 'colour: red', 1), 'colour'),
    (lambda text: 'x', 'not an enrolment'),
])
def test_a_damaged_enrolment_is_refused_without_showing_it(enrolment, change, word):
    with pytest.raises(enrolments.EnrolmentError, match=word) as caught:
        enrolments.parse(change(enrolments.dump(enrolment)), 'b.yaml', enrolments.DERP)
    assert 'PRIVATE' not in caught.value.sentence
