"""Does the site's server still know this machine? Headscale tells those that ask; tailscaled is not told (3410).

`POST /verify` is what a DERP server asks about its clients: whether a node has this public key. It needs no login, and
the answer holds for the moment, whatever tailscaled believes.
"""
import http.client
import json
import time

from ua_overlay.trust import names
from ua_overlay.trust.probe import ServerError, open_connection, tls_context

#: How a node key begins as text; a tailscaled without one says zeros.
PREFIX = 'nodekey:'


def verify_node_key(url, ca_pem, node_key, timeout=5):
    """Ask the server of ``url`` whether a robot has the key ``node_key``.

    :param url: https://name[:port]; ``ca_pem``: PEM text of the site's CA, which alone is trusted.
    :param node_key: public: `nodekey:` and hexadecimal digits.
    :param timeout: seconds for resolving, connecting and handshake, and for the answer what is left of them.
    :returns: True or False; None when it cannot be known now: no answer, another kind of server, no key.
    :raises CertificateError: when ``ca_pem`` is no certificate.
    """
    if not node_key.startswith(PREFIX) or not node_key[len(PREFIX):].strip('0'):
        return None
    try:
        server = names.parse_server_url(url)
    except ValueError:
        return None
    context, deadline = tls_context(ca_pem), time.monotonic() + timeout
    connection = http.client.HTTPConnection(server.host, server.port)
    try:
        connection.sock = open_connection(server, deadline, timeout)
        connection.sock = context.wrap_socket(connection.sock, server_hostname=server.host)
        connection.sock.settimeout(max(0.001, deadline - time.monotonic()))
        # The source would be the client's address; nothing is decided by it.
        connection.request('POST', '/verify', json.dumps({'NodePublic': node_key, 'Source': '127.0.0.1'}),
                           {'Content-Type': 'application/json', 'Connection': 'close'})
        answer = connection.getresponse()
        allowed = json.loads(answer.read(4096).decode('utf-8'))['Allow'] if answer.status == 200 else None
    except (ServerError, OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
    return allowed if isinstance(allowed, bool) else None
