"""Which servers a site's CA stands for: the names and addresses that it may vouch for, and no others."""
import ipaddress

from ua_overlay.trust import certificate as certificates


def servers_of(ca_pem):
    """DNS names and addresses (text) of a site's servers, sorted, as its CA says: its name constraints, or the names of
    a certificate that was given instead of a CA.

    :param ca_pem: PEM text of one or more certificates.
    :raises CertificateError: as certificate.load_certificates.
    """
    found = set()
    for each in certificates.load_certificates(ca_pem, 'the CA'):
        for text in certificates.permitted(each) or sum(certificates.names_of(each), []):
            if '/' not in text:
                found.add(text)
            elif ipaddress.ip_network(text).num_addresses == 1:
                found.add(text.split('/')[0])
    # A name for many hosts, with a star or a leading dot, is the name of none.
    return sorted(name for name in found if not name.startswith(('*', '.')))
