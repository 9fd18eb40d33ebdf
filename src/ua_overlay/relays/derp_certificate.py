"""Warn before the certificates of DERP regions on remote hosts expire, because nothing renews them.

The server cannot reach a remote host, so a person carries the new certificate there. Pure.
"""
import math
from typing import Optional

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.clock import format_utc, from_unix
from ua_overlay.errors import OverlayError
from ua_overlay.trust import certificate as certificates

#: Days before expiry at which the warning begins: the renewal margin of the server's certificate.
MARGIN_DAYS = defaults.RENEWAL_MARGIN_DAYS
_DAY = 86400.0


def end_of(chain: str) -> float:
    """Return the expiry of the first certificate of a PEM text, in Unix seconds.

    :raises CertificateError: the text has no certificate.
    """
    return certificates.not_after(certificates.load_certificates(chain, 'the enrolment')[0]).timestamp()


def format_end(end: Optional[float]) -> Optional[str]:
    """Return Unix seconds as '2026-11-22 18:48:52 UTC'; None for None."""
    return None if end is None else format_utc(from_unix(end))


def days_left(end: float, now: float) -> int:
    """Return the whole days between two times in Unix seconds; negative when ``end`` is past."""
    return math.floor((end - now) / _DAY)


def warning(name: str, end: float, now: float) -> Optional[OverlayError]:
    """Return the warning about the certificate of DERP ``name``; None before the warning period.

    :param end: its expiry, in Unix seconds.
    :param now: Unix seconds.
    """
    days = days_left(end, now)
    if days >= MARGIN_DAYS:
        return None
    left = 'ended' if days < 0 else 'ends in {} day{},'.format(days, '' if days == 1 else 's')
    return OverlayError(
        'The certificate of DERP {} {} on {}; it is not renewed automatically.'.format(name, left, format_end(end)),
        command('ua-overlay derp create {0} --again   # on the server; carry {0}.derp.yaml to the host, then there: '
                'sudo ua-overlay derp service install --enrolment {0}.derp.yaml', name), 'DERP_CERTIFICATE')
