"""Certificates that a TLS server can show and that cryptography cannot read, whole or in part."""
import datetime

from cryptography import x509
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.x509.oid import ExtensionOID, NameOID

NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.timezone.utc)
#: Extensions that this package reads, with contents that are none.
EXTENSIONS = {
    'subjectAltName of garbage': (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b'garbage'),
    'subjectAltName of nothing': (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b''),
    'subjectAltName with an address of 3 bytes': (
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b'\x30\x05\x87\x03\x01\x02\x03'),
    'subjectAltName with an x400Address': (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b'\x30\x04\xa3\x02\x05\x00'),
    'subjectAltName in Latin-1': (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b'\x30\x05\x82\x03a\xfcb'),
    'basicConstraints of garbage': (ExtensionOID.BASIC_CONSTRAINTS, b'garbage'),
    'basicConstraints, truncated': (ExtensionOID.BASIC_CONSTRAINTS, b'\x30\x06\x01\x01\xff'),
    'nameConstraints of garbage': (ExtensionOID.NAME_CONSTRAINTS, b'garbage'),
    'nameConstraints with a network of 3 bytes': (
        ExtensionOID.NAME_CONSTRAINTS, b'\x30\x09\xa0\x07\x30\x05\x87\x03\x01\x02\x03'),
    'keyUsage of garbage': (ExtensionOID.KEY_USAGE, b'garbage'),
    'extendedKeyUsage of garbage': (ExtensionOID.EXTENDED_KEY_USAGE, b'garbage')}
#: Those that a TLS server with OpenSSL 3 loads.
SHOWN = ('subjectAltName with an address of 3 bytes', 'subjectAltName with an x400Address',
         'subjectAltName in Latin-1', 'nameConstraints with a network of 3 bytes')


def name(text='odd'):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def self_signed(*extensions, key=None, subject=None, begin=NOW, end=NOW + datetime.timedelta(days=90)):
    """(certificate, its key).

    :param extensions: (OID, content) pairs.
    """
    key = key or ec.generate_private_key(ec.SECP256R1(), default_backend())
    builder = (x509.CertificateBuilder().subject_name(subject or name()).issuer_name(subject or name())
               .public_key(key.public_key()).serial_number(17).not_valid_before(begin.replace(tzinfo=None))
               .not_valid_after(end.replace(tzinfo=None)))
    for oid, content in extensions:
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, content), critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm, default_backend()), key


def der_of(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def pem_of(der):
    """PEM text of a certificate, of any bytes."""
    import base64
    return '-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n'.format(
        base64.encodebytes(der).decode('ascii'))


def odd_ones():
    """{what is odd: DER of the certificate}; some of them can be read."""
    plain, _ = self_signed()
    found = {what: der_of(self_signed(extension)[0]) for what, extension in EXTENSIONS.items()}
    found['a negative serial number'] = der_of(plain).replace(b'\x02\x01\x11', b'\x02\x01\x91', 1)
    found['a serial number of zero'] = der_of(plain).replace(b'\x02\x01\x11', b'\x02\x01\x00', 1)
    found['version 9'] = der_of(plain).replace(b'\x02\x01\x02', b'\x02\x01\x08', 1)
    found['dates of letters'] = der_of(plain).replace(b'261122120000Z', b'26112212xx00Z', 1)
    found['a day that does not exist'] = der_of(plain).replace(b'261122120000Z', b'260231120000Z', 1)
    found['dates far away'] = der_of(self_signed(begin=NOW.replace(year=1950), end=NOW.replace(year=9999))[0])
    found['no name'] = der_of(self_signed(subject=name(''))[0])
    found['a name of terminal sequences'] = der_of(self_signed(subject=name('\x1b]0;x\x07\x1b[2J\u202e'))[0])
    found['an Ed25519 key'] = der_of(self_signed(key=ed25519.Ed25519PrivateKey.generate())[0])
    found['a DSA key'] = der_of(self_signed(key=dsa.generate_private_key(2048, default_backend()))[0])
    # secp256r1 (1.2.840.10045.3.1.7) becomes an unknown curve.
    found['an unknown curve'] = der_of(plain).replace(b'\x86\x48\xce\x3d\x03\x01\x07', b'\x86\x48\xce\x3d\x03\x01\x7f')
    found['a point outside its curve'] = der_of(plain).replace(b'\x03\x42\x00\x04', b'\x03\x42\x00\x05', 1)
    found['an unknown signature'] = der_of(plain).replace(b'\x48\xce\x3d\x04\x03\x02', b'\x48\xce\x3d\x04\x03\x7f')
    found['nothing'] = b''
    found['no certificate'] = b'\x30\x03\x02\x01\x01'
    return found
