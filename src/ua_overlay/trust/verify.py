"""Asks the site's server whether it still knows this machine; Headscale does not tell tailscaled by itself (3410).

`POST /verify` is what a DERP server asks about its clients: whether a node has this public key. It needs no login, and
the answer is what the server knows now, whatever tailscaled believes.
"""
import http.client
import json
import time
from typing import Optional

from ua_overlay.trust import names
from ua_overlay.trust.probe import ServerError, open_connection, tls_context

#: How a node key begins as text; that of a tailscaled without one has only zeros.
PREFIX = 'nodekey:'


def verify_node_key(url: str, ca_pem: str, node_key: str, timeout: float = 5) -> Optional[bool]:
    """Ask the server of ``url`` whether a robot has the key ``node_key``.

    :param url: https://name[:port].
    :param ca_pem: PEM text of the site's CA, the only one that it trusts.
    :param node_key: public: `nodekey:` and hexadecimal digits.
    :param timeout: seconds for resolving, connecting, handshake and answer together.
    :returns: None when it cannot be known now: no answer, another kind of server, no key.
    :raises CertificateError: ``ca_pem`` is not a certificate.
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
        # The source would be the client's address; Headscale does not use it.
        connection.request('POST', '/verify', json.dumps({'NodePublic': node_key, 'Source': '127.0.0.1'}),
                           {'Content-Type': 'application/json', 'Connection': 'close'})
        answer = connection.getresponse()
        allowed = json.loads(answer.read(4096).decode('utf-8'))['Allow'] if answer.status == 200 else None
    except (ServerError, OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
    return allowed if isinstance(allowed, bool) else None
