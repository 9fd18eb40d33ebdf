"""Detect systemd, quote words of unit files, and build the commands that keep a unit running."""
import os
import re
from typing import Tuple

from ua_overlay.system.recipe import Command

#: Directory of the administrator's units.
UNIT_DIR = '/etc/systemd/system'
#: Exists if systemd is the init of this machine: sd_booted(3).
RUNS = '/run/systemd/system'


def systemd_runs() -> bool:
    """Return whether systemd is the init of this machine."""
    return os.path.isdir(RUNS)


def quote(text: str, variables: bool = True) -> str:
    """Return ``text`` as one word of a unit file (systemd.syntax(7), "Quoting").

    :param variables: also escape $, as command lines require (systemd.service(5), "Command lines").
    """
    text = text.replace('%', '%%')
    if variables:
        text = text.replace('$', '$$')
    if re.match(r'[\w@%+=:,./$-]+$', text, re.ASCII):
        return text
    return '"{}"'.format(text.replace('\\', '\\\\').replace('"', '\\"'))


def daemon_reload(*paths: str) -> Command:
    """Return the command that makes systemd read its units again when one of the files ``paths`` changed."""
    return Command(('systemctl', 'daemon-reload'), paths)


def unit_commands(unit: str, after: Tuple[str, ...] = ()) -> Tuple[Command, ...]:
    """Return the commands that run a unit now and at each boot.

    :param unit: its name.
    :param after: files that it reads once, at its start: when one of them changed, it is restarted.
    """
    commands = (
        Command(('systemctl', 'enable', unit), unless=('systemctl', 'is-enabled', '--quiet', unit),
                undo=('systemctl', 'disable', unit)),
        Command(('systemctl', 'start', unit), unless=('systemctl', 'is-active', '--quiet', unit),
                undo=('systemctl', 'stop', unit)))
    return commands + ((Command(('systemctl', 'restart', unit), after),) if after else ())
