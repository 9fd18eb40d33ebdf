"""Check the prerequisites of a command: root, and systemd."""
import os
import shutil

from ua_overlay.errors import OverlayError
from ua_overlay.system.units import systemd_runs


def need_root(command: str, options: str = '') -> None:
    """Require root.

    :param command: without `ua-overlay`: 'guard on'.
    :param options: the options for the next command.
    :raises OverlayError: NOT_ROOT.
    """
    if os.geteuid() != 0:
        raise OverlayError('`ua-overlay {}` needs root.'.format(command), '{}ua-overlay {}'.format(
            'sudo ' if shutil.which('sudo') else 'as root: ', ' '.join(filter(None, (command, options)))),
            code='NOT_ROOT')


def need_systemd(next_command: str) -> None:
    """Require a running systemd.

    :raises OverlayError: NO_SYSTEMD.
    """
    if not systemd_runs():
        raise OverlayError('systemd does not run on this machine, so there is nothing to install a service in.',
                           next_command, code='NO_SYSTEMD')
