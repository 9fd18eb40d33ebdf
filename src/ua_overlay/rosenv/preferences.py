"""The preferences of this robot: its team, the team's port and addressing, and a master by name.

They come from the invitation; the network map overrides it, and the arguments of overlay.launch override both. The
overlay node writes the result beside the env file for `ua-overlay doctor` and roswtf, because no other program knows
the launch arguments.
"""
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Mapping, Optional

from ua_overlay import defaults, tags
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.envfile import Location
from ua_overlay.system import foreign_json
from ua_overlay.system.schema import is_port
from ua_overlay.tailscale.model import SelfNode

FILE_NAME = 'preferences.json'


@dataclass(frozen=True)
class Preferences:
    """
    :ivar master: name (or DNS name) of the robot that shall run the team's roscore; '': the tagged one.
    :ivar team_port: TCP port of the team's roscore.
    :ivar addressing: the same for the whole team, see :data:`ua_overlay.defaults.ADDRESSING`.
    :ivar team: team of the invitation. The tags of this node override it: the server may have moved the robot.
    """

    master: str = ''
    team_port: int = defaults.TEAM_PORT
    addressing: str = defaults.NAMES
    team: str = ''


def preferences_of(settings: Mapping[str, Any]) -> Preferences:
    """Return the Preferences in the kept settings of a robot (membership.settings; may be empty)."""
    return Preferences(team_port=settings.get('team_port') or defaults.TEAM_PORT,
                       addressing=settings.get('addressing') or defaults.NAMES, team=settings.get('team') or '')


def follow_map(preferences: Preferences, node: SelfNode) -> Preferences:
    """Return the preferences, updated from the network map: since the invitation, the robot may have moved to another
    team, or the team may have changed. Values that the map lacks are kept.

    :param node: this robot.
    """
    return replace(preferences, **tags.team_on_map(node.tags, node.attributes, preferences.team))


def dump(preferences: Preferences) -> str:
    """Return the text of the file."""
    return json.dumps(asdict(preferences), indent=2, sort_keys=True) + '\n'


def parse(text: str) -> Preferences:
    """Read the text of the file.

    :raises ValueError: it is invalid.
    """
    data = foreign_json.parse(text)
    if not isinstance(data, dict) or set(data) != set(asdict(Preferences())):
        raise ValueError('it does not hold the preferences of an overlay node')
    if not is_port(data['team_port']) or data['addressing'] not in defaults.ADDRESSING or \
            not isinstance(data['master'], str) or not isinstance(data['team'], str):
        raise ValueError('a value in it is invalid')
    return Preferences(**data)


def write(location: Location, preferences: Preferences) -> None:
    """Replace the file atomically.

    :raises OverlayError: when it cannot be written.
    """
    envfile.write_file(location, FILE_NAME, dump(preferences))


def read(location: Location, uid: Optional[int] = None) -> Optional[Preferences]:
    """Return the preferences of this machine's overlay node, None without any.

    :param uid: the reader, default: this process.
    :raises EnvironmentUnsafe: when the file is another user's, can be changed by others, or is invalid.
    """
    try:
        return parse(envfile.read_file(location, FILE_NAME, uid))
    except envfile.EnvironmentMissing:
        return None
    except ValueError as error:
        raise envfile.unsafe(location, FILE_NAME, str(error)) from None


def remove(location: Location) -> bool:
    """Remove the file if it exists.

    :returns: whether it existed.
    :raises OverlayError: when it cannot be removed.
    """
    return envfile.remove(location, FILE_NAME)
