"""What a robot keeps of its invitation: everything but the key. The team's own choices (port, addressing) live here."""
import os

import yaml

from ua_overlay.system.files import write_atomic
from ua_overlay.tags import facts_of, team_of

FILE_NAME = 'settings.yaml'
KEYS = ('server_url', 'team', 'robot', 'team_port', 'addressing')
ADDRESSINGS = ('names', 'addresses')


def read_settings(state_dir):
    """Return the kept settings as a dict with `KEYS`, or {} when there are none.

    A file that cannot be read counts as none, and so does a value that makes no sense: everything in it has a default
    or comes again with the next invitation.
    """
    try:
        with open(os.path.join(state_dir, FILE_NAME), encoding='utf-8') as stream:
            data = yaml.safe_load(stream)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {key: data[key] for key in KEYS if key in data and _sensible(key, data[key])}


def write_settings(state_dir, settings):
    """Keep `KEYS` of ``settings`` (a dict).

    :raises OSError: when the directory is missing or not this user's.
    """
    kept = {key: settings[key] for key in KEYS if key in settings}
    text = '# Kept from the invitation by ua_overlay; holds no secret.\n'
    text += yaml.safe_dump(kept, default_flow_style=False)
    write_atomic(os.path.join(state_dir, FILE_NAME), text)


def follow(settings, node):
    """The settings as the network map has them, for the next start without a server.

    :param settings: what is kept, {} when nothing is: then nothing is made up.
    :param node: this robot (tailscale.model.SelfNode).
    """
    team = team_of(node.tags, settings.get('team', ''))
    return dict(settings, team=team, **facts_of(node.attributes)) if settings and team else settings


def forget_settings(state_dir):
    """Remove the settings; fine when there are none.

    :raises OSError: when they are there and stay.
    """
    try:
        os.unlink(os.path.join(state_dir, FILE_NAME))
    except (FileNotFoundError, NotADirectoryError):
        return


def _sensible(key, value):
    if key == 'team_port':
        return type(value) is int and 1 <= value <= 65535
    return isinstance(value, str) and (key != 'addressing' or value in ADDRESSINGS)
