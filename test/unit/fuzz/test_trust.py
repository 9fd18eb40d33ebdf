"""Certificates, keys, invitations and answers of servers, mutated: a value or an OverlayError, and nothing else."""
import json

import odd_certificates
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_certificates import NOW, der_of, pem_of, self_signed

from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.trust import ca as authorities
from ua_overlay.trust import ca_pin, certificate, http_answer, invitation_file, names, probe, servers
from ua_overlay.trust.invitation import Invitation, check_usable

CA_KEY, CA = authorities.create_ca('lab', ['gate.example'], ['203.0.113.10', '2001:db8::1'], NOW)
KEY, LEAF = certificate.issue_server_certificate(CA_KEY, CA, ['gate.example'], ['203.0.113.10'], NOW)
CA_PEM = certificate.dump_certificates(CA)
INVITATION = invitation_file.dump(Invitation('https://gate.example:8080', CA_PEM, 'hskey-auth-' + 'x' * 70, 'dev-1',
                                             NOW, NOW.replace(hour=13), 'iris'))
ODD = odd_certificates.odd_ones()
HEALTH = b'HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\nContent-Length: 17\r\n\r\n{"status":"pass"}'
SERVER = names.ServerUrl('gate.example', 8080)
TEXTS = st.text(max_size=40)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
                    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(TEXTS, inside, max_size=4))


@st.composite
def mutated(draw, whole):
    """``whole`` (bytes) with up to six of its bytes changed, or a part of it cut out, doubled or replaced."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    begin, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
    other = draw(st.binary(max_size=40))
    how = draw(st.sampled_from(['keep', 'keep', 'cut', 'head', 'twice', 'replace']))
    return bytes({'keep': data, 'cut': data[:begin] + data[end:], 'head': data[:end],
                  'twice': data[:end] + data[begin:], 'replace': data[:begin] + other + data[end:]}[how])


def shown(text):
    """Whether a terminal shows every character of a text as itself."""
    return printable(str(text), 10000) == str(text)


def use(each):
    """Everything that this package does with a certificate that it could load."""
    certificate.names_of(each)
    certificate.permitted(each)
    certificate.not_permitted(each, ['gate.example'], ['203.0.113.10', '::1', '10.0.0.0/8'])
    certificate.is_ca(each)
    certificate.is_signed_by(each, each), certificate.is_signed_by(LEAF, each), certificate.is_signed_by(each, CA)
    certificate.has_key(each, KEY)
    certificate.needs_renewal(each, NOW)
    certificate.sha256_fingerprint(each)
    assert shown(certificate.issuer_of(each)) and shown(certificate.subject_of(each))
    pem = certificate.dump_certificates(each)
    for call in (lambda: certificate.check_server_certificate(CA_PEM, each, 'gate.example', NOW),
                 lambda: certificate.check_server_certificate(pem, LEAF, 'gate.example', NOW),
                 lambda: authorities.load_ca_certificates(pem, 'it'), lambda: servers.servers_of(pem),
                 lambda: probe.tls_context(pem), lambda: ca_pin.pins_of(pem)):
        try:
            call()
        except OverlayError:
            pass
    authorities.trusts(CA_PEM, pem), authorities.same(pem, CA_PEM)
    for code in (0, 7, 9, 10, 47, 62):
        assert shown(probe.explain(SERVER, code, each, NOW, NOW))


def load_and_use(der):
    """Load a certificate in each of the ways; whether it could be loaded."""
    try:
        use(certificate.load_der(der))
    except OverlayError:
        with pytest.raises(OverlayError):
            certificate.load_certificates(pem_of(der), 'the file')
        return False
    for each in certificate.load_certificates(pem_of(der), 'the file'):
        use(each)
    return True


@pytest.mark.parametrize('what', sorted(ODD))
def test_an_odd_certificate(what):
    load_and_use(ODD[what])


@pytest.mark.parametrize('what', ['subjectAltName of garbage', 'basicConstraints of garbage', 'dates of letters',
                                  'nameConstraints of garbage', 'a negative serial number', 'nothing'])
def test_a_damaged_certificate_is_refused(what):
    assert not load_and_use(ODD[what])


def test_a_whole_certificate_is_used():
    assert load_and_use(der_of(CA)) and load_and_use(der_of(LEAF)) and load_and_use(ODD['no name'])


@given(st.one_of(mutated(der_of(CA)), mutated(der_of(LEAF)), st.binary(max_size=200)))
def test_mutated_certificates(der):
    load_and_use(der)


@given(st.sampled_from(sorted(odd_certificates.EXTENSIONS)), st.binary(max_size=60))
def test_extensions_of_random_bytes(what, content):
    oid, usual = odd_certificates.EXTENSIONS[what]
    load_and_use(der_of(self_signed((oid, content))[0]))
    load_and_use(der_of(self_signed((oid, usual[:5] + content))[0]))


@given(mutated(CA_PEM.encode('ascii')))
def test_mutated_pem(pem):
    try:
        found = certificate.load_certificates(pem, 'the file')
    except OverlayError:
        return
    for each in found:
        use(each)


@given(mutated(certificate.dump_private_key(KEY).encode('ascii')))
def test_mutated_keys(pem):
    try:
        certificate.has_key(LEAF, certificate.load_private_key(pem, 'the file'))
    except OverlayError as error:
        assert error.__cause__ is None and error.__suppress_context__


@given(st.one_of(mutated(INVITATION.encode('utf-8')), st.binary(max_size=200)))
def test_mutated_invitations(data):
    try:
        invitation = invitation_file.parse(data.decode('utf-8', 'replace'), 'the file')
        check_usable(invitation, NOW)
        ca_pin.pick(invitation.ca_sha256, invitation.ca_pem)
        servers.servers_of(invitation.ca_pem or CA_PEM)
    except OverlayError as error:
        assert 'x' * 20 not in str(error), 'a part of the key'


@pytest.mark.parametrize('what', sorted(ODD))
def test_an_odd_ca_inside_an_invitation(what):
    lines = ''.join('  {}\n'.format(line) for line in pem_of(ODD[what]).splitlines())
    text = INVITATION.split('ca_pem:')[0] + 'ca_pem: |\n' + lines + '...\n'
    try:
        invitation = invitation_file.parse(text, 'the file')
        servers.servers_of(invitation.ca_pem)
        probe.tls_context(invitation.ca_pem)
    except OverlayError as error:
        assert error.code in ('INVITATION_INVALID', 'CERTIFICATE')


@pytest.mark.parametrize('created, expires', [
    ('0001-01-01T00:00:00Z', '0001-01-02T00:00:00Z'), ('0001-01-01T00:00:00+23:59', '2026-11-22T13:00:00Z'),
    ('2026-11-22T12:00:00Z', '9999-12-31T23:59:59-23:59'), ('2026-11-22T12:00:00Z', '9999-12-31T23:59:59Z')])
def test_times_at_the_ends_of_the_calendar(created, expires):
    text = INVITATION.replace('2026-11-22T12:00:00Z', created).replace('2026-11-22T13:00:00Z', expires)
    with pytest.raises(OverlayError, match='that is not a time like') as caught:
        check_usable(invitation_file.parse(text, 'the file'), NOW)
    assert caught.value.code == 'INVITATION_INVALID'


@given(st.one_of(mutated(HEALTH), st.binary(max_size=100)))
def test_mutated_answers_of_a_server(data):
    try:
        answer = http_answer.parse(data)
    except ValueError:
        return
    moment = probe._parse_date(answer.date)
    assert moment is None or round((moment - NOW).total_seconds()) is not None
    try:
        probe._check_answer(answer.status, answer.body, SERVER)
    except OverlayError as error:
        assert shown(error)


@given(JSON)
def test_any_json_as_health(value):
    try:
        probe._check_answer(200, json.dumps(value).encode('utf-8'), SERVER)
    except OverlayError as error:
        assert error.code == 'BAD_ANSWER' and shown(error)


@given(st.text(max_size=60))
def test_any_text_as_a_date(text):
    moment = probe._parse_date(text)
    assert moment is None or moment.tzinfo is not None


@given(JSON)
def test_any_json_as_a_derp_map(value):
    for derp_map in (value, {'Regions': value}, {'Regions': {'1': value}}, {'Regions': {'1': {'Nodes': value}}},
                     {'Regions': {'1': {'Nodes': [value, {'HostName': value, 'IPv4': value}]}}}):
        assert all(isinstance(each, str) for each in servers.derp_servers(derp_map))


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_any_bytes_as_a_handshake(stream, content):
    for each in ca_pin.certificates_in(stream) + ca_pin.certificates_in(
            b'\x16\x03\x03' + len(content).to_bytes(2, 'big') + content):
        assert isinstance(each, bytes)


@given(TEXTS)
def test_any_text_as_names_and_urls(text):
    for check in (names.check_team, names.check_robot, names.check_user, names.check_server_name, names.check_address):
        try:
            check(text)
        except OverlayError:
            pass
    for url in (text, 'https://' + text, 'https://gate.example:' + text):
        try:
            names.parse_server_url(url)
        except ValueError as error:
            assert not isinstance(error, UnicodeError)


@given(st.text(max_size=80))
def test_resolving_any_text_is_an_address_or_an_os_error(name):
    try:
        servers.resolve('\x00' + name if len(name) % 2 else 'a' * 64 + '.' + name)
    except OSError:
        pass


@pytest.mark.parametrize('content', [b'\xff', b'', b'garbage', pem_of(b'x').encode()])
def test_any_ca_file(tmp_path, content):
    (tmp_path / 'ca.pem').write_bytes(content)
    assert servers.servers_now(None, str(tmp_path / 'ca.pem')) == []
    with pytest.raises(OverlayError):
        authorities.read_ca(str(tmp_path / 'ca.pem'), NOW)
