"""Ask the site's server whether it still knows this machine; Headscale does not notify tailscaled (issue 3410).

A DERP server uses `POST /verify` to check whether a node has its client's public key. It needs no login, and the answer
reflects the server's current state, not tailscaled's.
"""
import http.client
import json
import time
from typing import Optional

from ua_overlay.trust import names
from ua_overlay.trust.probe import ServerError, open_connection, tls_context

#: Prefix of a node key as text; without a key tailscaled reports only zeros after it.
PREFIX = 'nodekey:'


def verify_node_key(url: str, ca_pem: str, node_key: str, timeout: float = 5) -> Optional[bool]:
    """Ask the server of ``url`` whether a robot has the key ``node_key``.

    :param url: https://name[:port].
    :param ca_pem: PEM text of the site's CA, the only trusted one.
    :param node_key: public: `nodekey:` and hexadecimal digits.
    :param timeout: seconds for resolving, connecting, handshake and answer together.
    :returns: None if that is unknown: no answer, another kind of server, no key.
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
        # Source is the client's address, which Headscale ignores.
        connection.request('POST', '/verify', json.dumps({'NodePublic': node_key, 'Source': '127.0.0.1'}),
                           {'Content-Type': 'application/json', 'Connection': 'close'})
        answer = connection.getresponse()
        allowed = json.loads(answer.read(4096).decode('utf-8'))['Allow'] if answer.status == 200 else None
    except (ServerError, OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
    return allowed if isinstance(allowed, bool) else None
