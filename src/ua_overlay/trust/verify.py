"""Ask the site's server whether it still knows this machine; Headscale does not notify tailscaled (issue 3410).

A DERP server uses `POST /verify` to check whether a node has its client's public key. It needs no login, and the answer
reflects the server's current state, not tailscaled's.
"""
import json
import socket
import time
from typing import Optional

from ua_overlay.system import foreign_json
from ua_overlay.system.http_proxy import ProxyFor, no_proxy
from ua_overlay.trust import http_answer, names
from ua_overlay.trust.probe import ServerError, open_connection, tls_context

#: Prefix of a node key as text; without a key tailscaled reports only zeros after it.
PREFIX = 'nodekey:'


def verify_node_key(url: str, ca_pem: str, node_key: str, timeout: float = 5,
                    proxies: ProxyFor = no_proxy, address: str = '') -> Optional[bool]:
    """Ask the server of ``url`` whether a robot has the key ``node_key``.

    :param url: https://name[:port].
    :param ca_pem: PEM text of the site's CA, the only trusted one.
    :param node_key: public: `nodekey:` and hexadecimal digits.
    :param timeout: seconds for resolving, connecting, handshake and answer together.
    :param proxies: finds the proxy that tailscaled would use.
    :param address: connect to it instead of resolving the server's name.
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
    # Source is the client's address, which Headscale ignores.
    body = json.dumps({'NodePublic': node_key, 'Source': '127.0.0.1'})
    request = ('POST /verify HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\nContent-Type: application/json\r\n'
               'Content-Length: {}\r\n\r\n{}'.format(server.host, server.port, len(body), body))
    connection: Optional[socket.socket] = None
    try:
        connection = open_connection(server, deadline, timeout, address, proxies)
        connection = context.wrap_socket(connection, server_hostname=server.host)
        answer = http_answer.exchange(connection, request.encode('ascii'), deadline)
        allowed = foreign_json.parse_object(answer.body).get('Allow') if answer.status == 200 else None
    except (ServerError, OSError, ValueError):
        return None
    finally:
        if connection is not None:
            connection.close()
    return allowed if isinstance(allowed, bool) else None
