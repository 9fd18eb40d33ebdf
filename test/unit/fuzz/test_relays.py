"""Enrolments, STUN answers and reports of relays, mutated: a value or an OverlayError, and nothing else."""
import json
import struct

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ua_overlay.errors import OverlayError
from ua_overlay.headscale import derp_map
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import derp_certificate, enrolment, relay_health, relay_states, stun
from ua_overlay.relays.remote_host import RemoteHost
from ua_overlay.trust import certificate
from unit.fuzz.test_site import VALUES
from unit.fuzz.test_trust import CA_KEY, CA_PEM, JSON, ODD, mutated, pem_of, shown

KEY, CHAIN = certificate.issue_server_certificate(
    CA_KEY, certificate.load_certificates(CA_PEM, 'it')[0], ['lab-b.gate.example'], [],
    derp_certificate.from_unix(1.8e9))
KEY_PEM = certificate.dump_private_key(KEY)
DERP = enrolment.Enrolment('derp', 'lab-b', 'https://gate.example:8080', CA_PEM, '203.0.113.11', 8443, stun_port=3478,
                           host_name='lab-b.gate.example', certificate=certificate.dump_certificates(CHAIN),
                           certificate_key=KEY_PEM)
RELAY = enrolment.Enrolment('relay', 'lab-b', 'https://gate.example:8080', CA_PEM, '203.0.113.11', 40000,
                            key='hskey-auth-' + 'x' * 70)
TEXTS = {'derp': enrolment.dump(DERP), 'relay': enrolment.dump(RELAY)}
FIELDS = ['version', 'kind', 'name', 'server_url', 'ca_pem', 'address', 'port', 'key', 'stun_port', 'host_name',
          'certificate', 'certificate_key', 'other']


def read(text, kind):
    try:
        found = enrolment.parse(text, 'the file', kind)
    except OverlayError as error:
        assert error.code == 'ENROLMENT' and shown(error) and len(str(error)) < 2000
        assert 'x' * 20 not in str(error) and KEY_PEM[60:90] not in str(error)
        return False
    if kind == 'derp':
        derp_certificate.warning(found.name, derp_certificate.end_of(found.certificate), 1.8e9)
        assert '/' not in found.host_name
    return True


def test_both_are_valid():
    assert read(TEXTS['derp'], 'derp') and read(TEXTS['relay'], 'relay') and not read(TEXTS['relay'], 'derp')


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_mutated_enrolments(kind, data):
    read(data.draw(mutated(TEXTS[kind].encode('utf-8'))).decode('utf-8', 'replace'), kind)


@given(st.sampled_from(sorted(TEXTS)), st.sampled_from(FIELDS), VALUES)
def test_any_value_in_any_field(kind, field, value):
    read(yaml.dump(dict(yaml.safe_load(TEXTS[kind]), **{field: value})), kind)
    read(yaml.dump({**yaml.safe_load(TEXTS[kind]), **(value if isinstance(value, dict) else {None: value})}), kind)


@pytest.mark.parametrize('what', sorted(ODD))
@pytest.mark.parametrize('field', ['ca_pem', 'certificate', 'certificate_key'])
def test_odd_certificates_in_an_enrolment(what, field):
    read(yaml.dump(dict(yaml.safe_load(TEXTS['derp']), **{field: pem_of(ODD[what])})), 'derp')


@pytest.mark.parametrize('name', ['../../etc/x', 'a/b', '.', '', 'x\x00', 'x\n', '-x'])
def test_a_name_that_would_be_a_path(name):
    for field in ('host_name', 'name'):
        assert not read(yaml.dump(dict(yaml.safe_load(TEXTS['derp']), **{field: name})), 'derp')


@pytest.mark.parametrize('what', ['fifo', 'zero', 'directory', 'link', 'socket', 'sparse', 'deep', 'binary'])
def test_odd_files_in_place_of_an_enrolment(tmp_path, what, odd_file):
    odd_file(what, tmp_path / 'x')
    if what in ('deep', 'binary', 'sparse'):
        (tmp_path / 'x').chmod(0o600)
    with pytest.raises(OverlayError):
        enrolment.read(str(tmp_path / 'x'), 'derp')
    (tmp_path / 'host').mkdir()
    odd_file(what, tmp_path / 'host' / 'enrolment.yaml')
    with pytest.raises(OverlayError):
        RemoteHost(str(tmp_path / 'host'), 'derp').load()
    with pytest.raises(OverlayError):
        RemoteHost(str(tmp_path / 'host'), 'derp').install(DERP)


@given(st.binary(max_size=120), st.binary(min_size=0, max_size=60))
def test_any_bytes_as_a_stun_answer(data, tail):
    transaction = b'0123456789ab'
    for each in (data, b'\x01\x01' + struct.pack('>HI', len(tail), 0x2112A442) + transaction + tail,
                 b'\x01\x01\xff\xff\x21\x12\xa4\x42' + transaction + b'\x00\x20' + tail):
        found = stun.parse_response(each, transaction)
        assert found is None or isinstance(found[0], str) and 0 <= found[1] < 65536


@given(st.binary(max_size=200))
def test_any_bytes_as_metrics(data):
    asked, answered = relay_health.parse_counters(data.decode('utf-8', 'replace'))
    assert isinstance(asked, int) and isinstance(answered, int)


@given(st.text(max_size=60), st.sampled_from(['٣', '²', '9' * 5000, '-1', '1e3', ' 7 ', '0x7', '1_0']))
def test_any_number_in_the_metrics(text, number):
    name = relay_health._COUNTERS[0]
    assert relay_health.parse_counters('{} {}\n{}'.format(name, number, text))[0] >= 0


@given(st.dictionaries(st.sampled_from(['state', 'ok', 'carrying', 'name']), JSON))
def test_any_report_of_a_relay(report):
    assert json.dumps(relay_states.relay_states(report, SiteSettings('gate.example'), []))


@given(st.sets(st.text(max_size=10)))
def test_a_derp_map_of_any_answers(names):
    assert derp_map.dump_map(derp_map.derp_map(SiteSettings('gate.example'), names))


@given(st.floats(allow_nan=False, min_value=-1e11, max_value=1e11))
def test_any_end_of_a_certificate(end):
    try:
        assert isinstance(derp_certificate.format_end(end), str)
    except (ValueError, OverflowError):
        assert not 0 <= end <= 2.5e11
