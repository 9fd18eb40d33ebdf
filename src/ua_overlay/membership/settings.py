"""The settings that a robot keeps from its invitation: everything but the key, such as the team's port and addressing.

The network map overrides this file (:func:`follow`); the file serves a start while the server is unreachable.
"""
import os
from typing import Any, Dict, Mapping

import yaml

from ua_overlay import defaults
from ua_overlay.system import foreign_file, schema
from ua_overlay.system.files import remove, write_atomic
from ua_overlay.tags import team_on_map
from ua_overlay.tailscale.model import SelfNode

FILE_NAME = 'settings.yaml'
#: Longest file, in bytes: it has five short values.
LONGEST = 65536
KEYS = ('server_url', 'team', 'robot', 'team_port', 'addressing')

#: {key of :data:`KEYS`: str, for team_port int}.
Settings = Dict[str, Any]


def read_settings(state_dir: str) -> Settings:
    """Return the kept settings, {} when there are none.

    An unreadable file counts as missing, and so does an invalid value: each value has a default or comes with the next
    invitation.
    """
    try:
        data = schema.load(foreign_file.read_text(os.path.join(state_dir, FILE_NAME), LONGEST))
    except (OSError, schema.Invalid):
        return {}
    if not isinstance(data, dict):
        return {}
    return {key: data[key] for key in KEYS if key in data and _is_valid(key, data[key])}


def write_settings(state_dir: str, settings: Mapping[str, Any]) -> None:
    """Write the `KEYS` of ``settings``.

    :raises OSError: when the directory is missing or not this user's.
    """
    kept = {key: settings[key] for key in KEYS if key in settings}
    text = '# Kept from the invitation by ua_overlay; holds no secret.\n'
    text += yaml.safe_dump(kept, default_flow_style=False)
    write_atomic(os.path.join(state_dir, FILE_NAME), text)


def follow(settings: Settings, node: SelfNode) -> Settings:
    """Return the settings, updated from the network map.

    :param settings: the kept ones; {} stays {}.
    :param node: this robot.
    """
    return dict(settings, **team_on_map(node.tags, node.attributes, settings.get('team', ''))) if settings else settings


def forget_settings(state_dir: str) -> None:
    """Remove the settings, if there are any.

    :raises OSError: when they cannot be removed.
    """
    try:
        remove(os.path.join(state_dir, FILE_NAME))
    except (FileNotFoundError, NotADirectoryError):
        return


def _is_valid(key: str, value: object) -> bool:
    if key == 'team_port':
        return schema.is_port(value)
    return isinstance(value, str) and (key != 'addressing' or value in defaults.ADDRESSING)
