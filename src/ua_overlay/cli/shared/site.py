"""The site of a command on the server, and clients of its running server."""
import argparse
import os
import sys
from typing import Mapping, Optional, Tuple

from ua_overlay.clock import utc_now
from ua_overlay.digits import is_number
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.access import connect
from ua_overlay.headscale.rest import RestClient
from ua_overlay.site import last_good
from ua_overlay.site.admin import Admin
from ua_overlay.site.invitation_log import InvitationLog
from ua_overlay.site.inviter import Inviter
from ua_overlay.site.site import Site, site_directory
from ua_overlay.system.users import user_name
from ua_overlay.toolchain import locate
from ua_overlay.toolchain.find import ask_version


def load_site(args: argparse.Namespace) -> Site:
    """The site with the settings that its server runs with.

    If site.yaml is invalid, these are the last good ones, and a line on standard error reports it.
    """
    site, problem = load_site_and_problem(args)
    if problem is not None:
        print('ua-overlay: {}'.format(explained(problem)), file=sys.stderr)
    return site


def load_site_and_problem(args: argparse.Namespace) -> Tuple[Site, Optional[OverlayError]]:
    """(site as of :func:`load_site`, what is wrong with site.yaml); see last_good.load."""
    return last_good.load(site_directory(args.dir, os.environ))


def explained(problem: OverlayError) -> OverlayError:
    """The problem of :func:`load_site_and_problem`, with a sentence that names the settings in force."""
    return OverlayError(last_good.sentence(problem), problem.next_command, problem.code)


def load_site_file(args: argparse.Namespace) -> Site:
    """The site as site.yaml describes it, for commands that check or change that file.

    :raises OverlayError: site.yaml is invalid.
    """
    return Site.load(site_directory(args.dir, os.environ))


def connect_to(site: Site) -> RestClient:
    """A client of the site's running Headscale."""
    return connect(site, lambda: locate('headscale'))


def make_admin(site: Site) -> Admin:
    """An Admin that connects to the site's running server when it needs it."""
    return Admin(site, lambda: connect_to(site), utc_now)


def make_inviter(site: Site) -> Inviter:
    """An Inviter that logs its work under the name of the user who typed the command."""
    log = InvitationLog(site.invitation_log_file, utc_now, caller_name(os.environ, os.geteuid()))
    return Inviter(site, lambda: connect_to(site), log, utc_now)


def installed_headscale() -> str:
    """The version that this machine's Headscale reports."""
    return ask_version(locate('headscale'))


def caller_name(environ: Mapping[str, str], uid: int) -> str:
    """The user who ran the command, for the log; under sudo, also the user who called sudo."""
    name = user_name(uid)
    before = environ.get('SUDO_USER', '')
    return '{} (sudo by {})'.format(name, before) if before and before != name else name


def caller_ids(environ: Mapping[str, str], uid: int, gid: int) -> Tuple[int, int]:
    """(uid, gid) of the user who ran the command and will own the file; under sudo, the user who called sudo."""
    numbers = environ.get('SUDO_UID', ''), environ.get('SUDO_GID', '')
    if uid == 0 and all(is_number(number) for number in numbers):
        return int(numbers[0]), int(numbers[1])
    return uid, gid
