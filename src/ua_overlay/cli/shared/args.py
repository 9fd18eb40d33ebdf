"""Options and values of several commands. Imports no code of the server, because a robot's commands use it, too."""
import argparse
import math

from ua_overlay import defaults
from ua_overlay.clock import format_duration, parse_duration
from ua_overlay.digits import is_number

#: The longest life of an invitation or enrolment.
LONGEST_LIFETIME_DAYS = 90


def add_dir(parser: argparse.ArgumentParser) -> None:
    """Add --dir of a site."""
    parser.add_argument('--dir', metavar='DIR',
                        help='directory of the site (default: $UA_OVERLAY_SITE, else {})'.format(defaults.SITE_DIR))


def add_socket(parser: argparse.ArgumentParser) -> None:
    """Add --socket of tailscaled."""
    parser.add_argument('--socket', metavar='PATH', default=defaults.DAEMON_SOCKET,
                        help="tailscaled's socket (default: %(default)s)")


def add_state_dir(parser: argparse.ArgumentParser) -> None:
    """Add --state-dir of a robot."""
    parser.add_argument('--state-dir', metavar='DIR', default=defaults.STATE_DIR,
                        help='where the robot keeps the settings of its invitation (default: %(default)s)')


def add_ca(parser: argparse.ArgumentParser) -> None:
    """Add --ca of a robot."""
    parser.add_argument('--ca', metavar='FILE', default=defaults.CA_FILE,
                        help="the site's CA (default: %(default)s)")


def add_expires(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --expires to a command that creates ``what``; its value is in seconds."""
    parser.add_argument('--expires', type=lifetime, default=defaults.INVITATION_LIFETIME, metavar='TIME',
                        help='lifetime of the {}: 30m, 12h, 2d (default: {})'.format(
                            what, format_duration(defaults.INVITATION_LIFETIME)))


def lifetime(text: str) -> int:
    """'90', '90s', '30m', '1h', '2d' -> seconds; the ``type`` of an option.

    :raises argparse.ArgumentTypeError: for anything else, and for less than a minute or more than 90 days.
    """
    try:
        seconds = parse_duration(text + 's' if is_number(text) else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))
    if not 60 <= seconds <= LONGEST_LIFETIME_DAYS * 86400:
        raise argparse.ArgumentTypeError('{!r} is not between one minute and {} days'.format(
            text, LONGEST_LIFETIME_DAYS))
    return int(seconds)


def days(text: str) -> int:
    """'30d' or '30' -> 30; the ``type`` of an option.

    :raises argparse.ArgumentTypeError: for anything else.
    """
    number = text[:-1] if text.endswith('d') else text
    if not (is_number(number) and 0 < int(number) < 10000):
        raise argparse.ArgumentTypeError('{!r} is not a number of days such as 30d'.format(text))
    return int(number)


def seconds(text: str) -> float:
    """'30', '0.5' -> seconds; the ``type`` of a limit.

    :raises argparse.ArgumentTypeError: for anything else, and for less than nothing, no number (`nan`) and no end
        (`inf`): a wait would never end, or end before it begins.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError('{!r} is not a number of seconds such as 30'.format(text))
    return value
