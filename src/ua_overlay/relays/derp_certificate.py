"""Certificates of DERP regions on remote hosts: nothing renews them, for the server has no way to a remote host.

So whoever looks says it in time. Pure but for PEM.
"""
import math

from ua_overlay import defaults
from ua_overlay.clock import format_utc, from_unix
from ua_overlay.errors import OverlayError
from ua_overlay.trust import certificate as certificates

#: Somebody has to carry a file, so as long as the server's own certificate has for its renewal.
MARGIN_DAYS = defaults.RENEWAL_MARGIN_DAYS
_DAY = 86400.0


def end_of(chain):
    """When the first certificate of a PEM text ends, in Unix seconds."""
    return certificates.not_after(certificates.load_certificates(chain, 'the enrolment')[0]).timestamp()


def when(end):
    """Unix seconds for people and programs, None for None."""
    return None if end is None else format_utc(from_unix(end))


def days_left(end, now):
    """Whole days between two times in Unix seconds, negative when it is over."""
    return math.floor((end - now) / _DAY)


def warning(name, end, now):
    """What to say of the certificate of DERP ``name``: an OverlayError, None while there is time.

    :param end, now: Unix seconds.
    """
    days = days_left(end, now)
    if days >= MARGIN_DAYS:
        return None
    left = 'ended' if days < 0 else 'ends in {} day{},'.format(days, '' if days == 1 else 's')
    return OverlayError(
        'The certificate of DERP {} {} on {}; nothing renews it by itself.'.format(name, left, when(end)),
        'ua-overlay derp create {0} --again, on the server; carry {0}.derp.yaml there, and: sudo ua-overlay derp '
        'service install --enrolment {0}.derp.yaml'.format(name), 'DERP_CERTIFICATE')
