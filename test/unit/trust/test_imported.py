"""A certificate made elsewhere, accepted or refused. With openssl and tailscaled: test_imported_certificate.py."""
import datetime
import os
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from ua_overlay.cli import main
from ua_overlay.clock import utc_now
from ua_overlay.trust import ca, imported, store
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.certificate import CertificateError
from ua_overlay.trust.servers import servers_of

NAME = 'server.example.org'
DAY = datetime.timedelta(days=1)


def make(directory, name=NAME, begin=-DAY, end=30 * DAY, key=None, issuer=None, authority=True, other_key=None):
    """A self-signed certificate as openssl makes one, and its key; paths."""
    key = key or certificates.generate_key()
    subject = certificates.subject('test', name or 'no name')
    now = utc_now().replace(microsecond=0)
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject)
               .public_key(key.public_key()).serial_number(7).not_valid_before(now + begin).not_valid_after(now + end)
               .add_extension(x509.BasicConstraints(authority, None), critical=True))
    if name:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    made = builder.sign(other_key or key, hashes.SHA256(), default_backend())
    (directory / 'imported.pem').write_text(certificates.dump_certificates(made))
    (directory / 'imported.key').write_text(certificates.dump_private_key(key))
    return str(directory / 'imported.pem'), str(directory / 'imported.key')


def refused(code, paths, name=NAME):
    with pytest.raises(CertificateError) as caught:
        imported.read(paths[0], paths[1], name, utc_now())
    assert caught.value.code == code and caught.value.next_command
    return caught.value.sentence


@pytest.mark.parametrize('authority', [True, False])
@pytest.mark.parametrize('kind', ['ec', 'rsa'])
def test_a_self_signed_certificate_is_imported(tmp_path, authority, kind):
    key = rsa.generate_private_key(65537, 2048, default_backend()) if kind == 'rsa' else None
    certificate, key = imported.read(*make(tmp_path, key=key, authority=authority), NAME, utc_now())
    site = tmp_path / 'site'
    site.mkdir()
    imported.adopt(str(site), certificate, key)
    trust = store.load(str(site))
    trust.check(utc_now())
    assert trust.server == trust.ca == certificate and trust.dns_names == [NAME]
    assert stat.S_IMODE(os.stat(str(site / 'server.key')).st_mode) == 0o600 and not (site / 'ca.key').exists()
    # What an invitation carries, and what a robot makes of it.
    assert ca.load_ca_certificates(trust.ca_pem, 'the CA') == [certificate]
    assert servers_of(trust.ca_pem) == [NAME]
    assert len(imported.warnings(certificate)) == authority
    with pytest.raises(CertificateError) as caught:
        imported.refuse_renewal(str(site))
    assert 'no CA' in caught.value.sentence


def test_other_certificates_are_refused(tmp_path):
    refused('CERT_EXPIRED', make(tmp_path, begin=-3 * DAY, end=-DAY))
    refused('CLOCK', make(tmp_path, begin=DAY))
    assert 'other.example.org' in refused('WRONG_NAME', make(tmp_path, name='other.example.org'))
    refused('WRONG_NAME', make(tmp_path, name=''))
    assert 'self-signed' in refused('CERTIFICATE', make(tmp_path, issuer=certificates.subject('a', 'CA')))
    assert 'self-signed' in refused('CERTIFICATE', make(tmp_path, other_key=certificates.generate_key()))
    assert '1024 bits' in refused('CERTIFICATE', make(
        tmp_path, key=rsa.generate_private_key(65537, 1024, default_backend())))
    paths = make(tmp_path)
    assert 'imported.key cannot be read' in refused('CERTIFICATE', (paths[0], str(tmp_path / 'x' / 'imported.key')))
    assert 'private key' in refused('CERTIFICATE', (paths[1], paths[1]))
    assert 'not an unencrypted private key' in refused('CERTIFICATE', (paths[0], paths[0]))
    pem = (tmp_path / 'imported.pem').read_text()
    (tmp_path / 'imported.pem').write_text(pem + pem)
    assert '2 certificates' in refused('CERTIFICATE', paths)
    (tmp_path / 'imported.pem').write_text(pem)
    (tmp_path / 'imported.key').write_text(certificates.dump_private_key(certificates.generate_key()))
    assert 'does not belong' in refused('CERTIFICATE', paths)


def test_the_command_writes_all_files_or_none(tmp_path, capsys):
    site = str(tmp_path / 'site')
    certificate, key = make(tmp_path, begin=-3 * DAY, end=-DAY)
    init = ['server', 'init', '--dir', site, '--name', NAME, '--certificate', certificate]
    assert main(init) == 2
    assert main(init + ['--key', key]) == 1
    assert 'expired' in capsys.readouterr().err and not os.path.exists(site)
    make(tmp_path)
    assert main(init + ['--key', key]) == 0
    said = capsys.readouterr().out
    assert 'to be replaced by hand' in said and 'PRIVATE' not in said
    assert main(['server', 'renew', '--dir', site]) == 1
    assert 'no CA' in capsys.readouterr().err
