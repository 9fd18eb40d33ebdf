"""What the commands on the server have in common: which site, and how to reach its server."""
import argparse
import os
import pwd
import sys

from ua_overlay import defaults
from ua_overlay.clock import format_duration, parse_duration, utc_now
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.access import connect
from ua_overlay.site import last_good
from ua_overlay.site.admin import Admin
from ua_overlay.site.invitation_log import InvitationLog
from ua_overlay.site.inviter import Inviter
from ua_overlay.site.site import Site, site_directory
from ua_overlay.toolchain import locate


def add_dir(parser):
    """Add --dir."""
    parser.add_argument('--dir', metavar='DIR',
                        help='directory of the site (default: $UA_OVERLAY_SITE, else {})'.format(defaults.SITE_DIR))


#: The longest life of an invitation or enrolment.
LONGEST_LIFETIME_DAYS = 90
#: Exit status of a command that shows a site which works, although something asks for a person. As of `doctor`.
WARNED = 4


def load_site(args):
    """The Site that the command line means, as its server runs it: where site.yaml makes no sense, what was in force
    before, and a line on standard error that says so."""
    site, problem = load_site_and_problem(args)
    if problem is not None:
        print('ua-overlay: {}'.format(explained(problem)), file=sys.stderr)
    return site


def load_site_and_problem(args):
    """(Site, what is wrong with site.yaml as an OverlayError or None): see last_good.load."""
    return last_good.load(site_directory(args.dir, os.environ))


def explained(problem):
    """``problem`` of :func:`load_site_and_problem` as an OverlayError for people: it says what holds instead."""
    return OverlayError(last_good.sentence(problem), problem.next_command, problem.code)


def load_site_file(args):
    """The Site that the command line means, as site.yaml says, for what judges that file or writes it anew.

    :raises OverlayError: it makes no sense.
    """
    return Site.load(site_directory(args.dir, os.environ))


def make_admin(site):
    """An Admin that reaches the site's running server when it has to."""
    return Admin(site, lambda: connect(site, lambda: locate('headscale')), utc_now)


def make_inviter(site):
    """An Inviter for the site; what it does is written down under the name of the user who types."""
    log = InvitationLog(site.invitation_log_file, utc_now, _who(os.environ, os.geteuid()))
    return Inviter(site, lambda: connect(site, lambda: locate('headscale')), log, utc_now)


def _who(environ, uid):
    """Who types, for the log: the user, and behind sudo the one who became it."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    before = environ.get('SUDO_USER', '')
    return '{} (sudo by {})'.format(name, before) if before and before != name else name


def asker(environ, uid, gid):
    """(uid, gid) of the person who typed the command: behind sudo the one who became root, who is to carry the file."""
    numbers = environ.get('SUDO_UID', ''), environ.get('SUDO_GID', '')
    if uid == 0 and all(number.isdigit() for number in numbers):
        return int(numbers[0]), int(numbers[1])
    return uid, gid


def add_expires(parser, what):
    """Add --expires to a command that makes a key of ``what``; its value is in seconds."""
    parser.add_argument('--expires', type=_lifetime, default=defaults.INVITATION_LIFETIME, metavar='TIME',
                        help='lifetime of the {}, such as 30m, 12h or 2d (default: {})'.format(
                            what, format_duration(defaults.INVITATION_LIFETIME)))


def _lifetime(text):
    """'90', '90s', '30m', '1h', '2d' -> seconds (int).

    :raises argparse.ArgumentTypeError: for anything else, and for less than a minute or more than 90 days.
    """
    try:
        seconds = parse_duration(text + 's' if text.isdigit() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))
    if not 60 <= seconds <= LONGEST_LIFETIME_DAYS * 86400:
        raise argparse.ArgumentTypeError('{!r} is not between one minute and {} days'.format(
            text, LONGEST_LIFETIME_DAYS))
    return int(seconds)
