"""The rules of a site: teams, rules between teams, users. Pure.

*Ports* are the ports that one side may open on the other, as a tuple of words: `everything`; `ros` (the team's roscore,
and the ephemeral ports in both directions, because a ROS node calls its subscribers); `ssh`; `ping`; or a TCP port
number.
"""
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple, Union

from ua_overlay import defaults
from ua_overlay.advice import quoted
from ua_overlay.errors import UsageError
from ua_overlay.system import schema
from ua_overlay.system.schema import is_port
from ua_overlay.trust import names

Ports = Tuple[Union[str, int], ...]

EVERYTHING, ROS, SSH, PING = 'everything', 'ros', 'ssh', 'ping'
WORDS = (EVERYTHING, ROS, SSH, PING)
SSH_PORT = 22
#: By default the robots of a team trust each other: anyone who reaches the roscore controls the robots anyway.
INSIDE_DEFAULT: Ports = (EVERYTHING,)
TALK_DEFAULT: Ports = (ROS, PING)
#: All of the robots' ports, and the reverse direction for ROS (rviz, rostopic echo).
USER_DEFAULT: Ports = (EVERYTHING, ROS)

_RANGE = re.compile(r'([0-9]{1,5})-([0-9]{1,5})')
#: A port on a command line. str.isdigit() accepts more than int() does.
_NUMBER = re.compile('[0-9]{1,9}', re.ASCII)
#: The end of a sentence about a file or a command line -> an error.
_Wrong = Callable[[str], UsageError]


@dataclass(frozen=True)
class Team:
    """The common settings of a team's robots; every invitation carries them.

    :param name: DNS label.
    :param port: TCP port of the team's roscore.
    :param addressing: 'names' or 'addresses': how its robots address each other.
    :param inside: the ports that its robots open to each other.
    :raises UsageError: a value is invalid.
    """

    name: str
    port: int = defaults.TEAM_PORT
    addressing: str = defaults.NAMES
    inside: Ports = INSIDE_DEFAULT

    def __post_init__(self) -> None:
        names.check_team(self.name)
        if not is_port(self.port):
            raise UsageError('The team port {!r} of {} is not a port number (1-65535).'.format(self.port, self.name),
                             'ua-overlay team create --help')
        if self.addressing not in defaults.ADDRESSING:
            raise UsageError('The addressing {!r} of team {} is neither names nor addresses.'.format(
                self.addressing, self.name), 'ua-overlay team create --help')


@dataclass(frozen=True)
class Talk:
    """Robots of team ``source`` may open ``what`` (ports) on robots of team ``target``, but not vice versa."""

    source: str
    target: str
    what: Ports = TALK_DEFAULT


@dataclass(frozen=True)
class User:
    """A person. The laptops that join with an invitation of ``name`` may open ``what`` on robots of ``teams``."""

    name: str
    teams: Tuple[str, ...]
    what: Ports = USER_DEFAULT


@dataclass(frozen=True)
class Rules:
    """All rules of a site.

    :param teams: by name.
    :param users: by name.
    :param ephemeral: (lowest, highest) port.
    :param cgnat_lans: whether robots accept packets of the overlay's range (100.64.0.0/10) from their own networks
        too, because carriers and other VPNs use it.
    :param memory: seconds for which robots may remember their team while the server is away; of the site's settings
        (admission_memory), and no part of the rules in site.yaml.
    """

    teams: Dict[str, Team] = field(default_factory=dict)
    talk: Tuple[Talk, ...] = ()
    users: Dict[str, User] = field(default_factory=dict)
    ephemeral: Tuple[int, int] = defaults.EPHEMERAL_PORTS
    cgnat_lans: bool = False
    memory: int = defaults.ADMISSION_MEMORY


def parse_ports(text: str, option: str = '--inside', command: str = 'team create') -> Ports:
    """Return the ports on a command line: 'ros,ssh,8765' -> ('ros', 'ssh', 8765); '' opens nothing.

    :param option: the option that takes them, for errors.
    :param command: the command that has the option, for errors.
    :raises UsageError: a word is invalid; the sentence names it.
    """
    def wrong(what: str) -> UsageError:
        return UsageError('The command line {}.'.format(what), 'ua-overlay {} --help'.format(command))

    listed = [word.strip() for word in text.split(',') if word.strip()]
    return _checked([int(word) if _NUMBER.fullmatch(word) else word for word in listed], option, wrong)


def _checked(listed: Sequence[Any], what: str, wrong: _Wrong) -> Ports:
    """Return ``listed`` as ports."""
    for word in listed:
        if isinstance(word, int) and not isinstance(word, bool):
            if not is_port(word):
                raise wrong('has the port {} for {}, which is not a port number (1-65535)'.format(word, what))
        elif word not in WORDS:
            raise wrong('allows {!r} for {}; it can be {}, or a TCP port'.format(word, what, ', '.join(WORDS)))
    return tuple(listed)


def parse_rules(values: Dict[str, Any], source: str) -> Rules:
    """Read the teams, the rules between them, the users and the settings of the policy from the mapping ``values``, and
    remove them from it.

    :param source: name of the file, for errors.
    :raises UsageError: a value is invalid; the sentence names it and ``source``.
    """
    with schema.errors_as(UsageError, source, 'edit {}'.format(source)):
        return _rules(values, _Reader(source))


def _rules(values: Dict[str, Any], reader: '_Reader') -> Rules:
    teams = {str(name): reader.team(str(name), fields)
             for name, fields in schema.section('teams', values.pop('teams', None)).items()}
    talk = tuple(reader.talk(number, entry, teams)
                 for number, entry in enumerate(schema.listing('talk', values.pop('talk', None)), 1))
    pairs = [(rule.source, rule.target) for rule in talk]
    for pair in pairs:
        if pairs.count(pair) > 1:
            raise reader.wrong('has two rules for how {} may talk to {}'.format(*pair))
    users = {str(name): reader.user(str(name), fields, teams)
             for name, fields in schema.section('users', values.pop('users', None)).items()}
    return Rules(teams, talk, users, reader.ephemeral(values.pop('ephemeral_ports', None)),
                 reader.switch('cgnat_lans', values.pop('cgnat_lans', False)))


class _Reader:
    """Checks the values of a YAML file; its errors name the file."""

    def __init__(self, source: str) -> None:
        self._source = source

    def wrong(self, what: str) -> UsageError:
        return UsageError('{} {}.'.format(self._source, what), 'edit {}'.format(quoted(self._source)))

    def switch(self, key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self.wrong('has {} {}, which is neither true nor false'.format(key, schema.shown(value)))
        return value

    def team(self, name: str, value: Any) -> Team:
        fields = dict(schema.section('teams.' + name, value, (), ('port', 'addressing', 'inside')))
        fields['inside'] = self.ports('team ' + name, fields.get('inside'), INSIDE_DEFAULT)
        try:
            return Team(name, **fields)
        except UsageError as error:
            raise UsageError(error.sentence, 'edit {}'.format(quoted(self._source)))

    def talk(self, number: int, value: Any, teams: Mapping[str, Team]) -> Talk:
        what = 'rule {} of "talk"'.format(number)
        fields = schema.section(what, value, ('from', 'to'), ('what',))
        for end in ('from', 'to'):
            self.check_team(fields[end], teams, what)
        if fields['from'] == fields['to']:
            raise self.wrong('lets {} talk to itself in {}: use the field "inside" of the team for that'.format(
                fields['from'], what))
        return Talk(fields['from'], fields['to'], self.ports(what, fields.get('what'), TALK_DEFAULT))

    def user(self, name: str, value: Any, teams: Mapping[str, Team]) -> User:
        what = 'user ' + name
        try:
            names.check_user(name)
        except UsageError as error:
            raise UsageError(error.sentence, 'edit {}'.format(quoted(self._source)))
        fields = schema.section('users.' + name, value, (), ('teams', 'what'))
        listed = schema.listing('users.{}.teams'.format(name), fields.get('teams'))
        for team in listed:
            self.check_team(team, teams, what)
        if len(set(listed)) != len(listed):
            raise self.wrong('names a team twice for {}'.format(what))
        return User(name, tuple(listed), self.ports(what, fields.get('what'), USER_DEFAULT))

    def check_team(self, name: Any, teams: Mapping[str, Team], what: str) -> None:
        """Refuse a name that no team has: it would become an undeclared tag in the policy, which Headscale refuses."""
        if not isinstance(name, str) or name not in teams:
            raise self.wrong('names the team {} in {}, which does not exist (teams: {})'.format(
                name, what, ', '.join(sorted(teams)) or 'none'))

    def ports(self, what: str, value: Any, default: Ports) -> Ports:
        if value is None:
            return default
        return _checked(value if isinstance(value, list) else [value], what, self.wrong)

    def ephemeral(self, value: Any) -> Tuple[int, int]:
        if value is None:
            return defaults.EPHEMERAL_PORTS
        match = _RANGE.fullmatch(value) if isinstance(value, str) else None
        low, high = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
        if not (is_port(low) and is_port(high) and low < high):
            raise self.wrong('has ephemeral_ports {!r}, which is not a range of ports such as {}-{}'.format(
                value, *defaults.EPHEMERAL_PORTS))
        return low, high


def dump_ports(ports: Ports) -> str:
    """Return ports as YAML text: a flow sequence."""
    return '[{}]'.format(', '.join(str(word) for word in ports))


def dump_rules(rules: Rules) -> str:
    """Return the part of site.yaml that :func:`parse_rules` reads, with comments that explain each field."""
    lines = ['## Teams: robots with one ROS graph. `port` is the TCP port of its roscore. `inside` says what robots of',
             '## the team may open on each other: everything (default), or a list of ros, ssh, ping and TCP ports.']
    lines.append('teams:' if rules.teams else 'teams: {}')
    for name in sorted(rules.teams):
        team = rules.teams[name]
        lines += ['  {}:'.format(_text(name)), '    port: {}'.format(team.port),
                  '    addressing: {}'.format(team.addressing)]
        if team.inside != INSIDE_DEFAULT:
            lines.append('    inside: {}'.format(dump_ports(team.inside)))
    lines += ['## Rules between teams, which may open nothing else on each other. One direction each; `what` as above',
              '## (default: [ros, ping]). `ros` opens the roscore of `to`, and the ephemeral ports both ways, because',
              '## ROS nodes call back.',
              '##   - {from: blue, to: iris, what: [ros, ping]}']
    lines.append('talk:' if rules.talk else 'talk: []')
    lines += ['  - {{from: {}, to: {}, what: {}}}'.format(_text(rule.source), _text(rule.target),
                                                         dump_ports(rule.what)) for rule in rules.talk]
    lines += ['## Users: people whose laptops join with `ua-overlay invite --user NAME MACHINE` and reach the robots',
              '## of their teams. `what` as above (default: [everything, ros], which also lets robots call back).',
              '##   ana: {teams: [iris]}']
    lines.append('users:' if rules.users else 'users: {}')
    for name in sorted(rules.users):
        user = rules.users[name]
        lines.append('  {}: {{teams: [{}]{}}}'.format(
            _text(name), ', '.join(_text(team) for team in user.teams),
            '' if user.what == USER_DEFAULT else ', what: ' + dump_ports(user.what)))
    lines += ['## Ports of sockets that ask for none, on every robot (sysctl net.ipv4.ip_local_port_range).',
              'ephemeral_ports: {}-{}'.format(*rules.ephemeral)]
    if rules.cgnat_lans:
        lines += ['## Robots also accept {} from their own networks (`ua-overlay policy cgnat-lans`).'.format(
            defaults.OVERLAY_V4), 'cgnat_lans: true']
    return '\n'.join(lines) + '\n'


def _text(name: str) -> str:
    """Return a name, in quotes if YAML might give it another meaning (no, on, null)."""
    return '"{}"'.format(name) if name in ('no', 'on', 'off', 'yes', 'y', 'n', 'null', 'true', 'false') else name
