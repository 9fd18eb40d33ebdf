"""Who may talk to whom on a site: teams, rules between teams, users. Plain values, checked; no file here.

*Ports* say what one side may open on the other, as a tuple of words: `everything`; `ros` (the team's roscore, and
the ephemeral ports in both directions, because a ROS node calls back whoever subscribes to it); `ssh`; `ping`; or a TCP
port number.
"""
import re
from dataclasses import dataclass, field

from ua_overlay import defaults
from ua_overlay.errors import UsageError
from ua_overlay.trust import names

EVERYTHING, ROS, SSH, PING = 'everything', 'ros', 'ssh', 'ping'
WORDS = (EVERYTHING, ROS, SSH, PING)
SSH_PORT = 22
#: Where Linux takes the ports of sockets that ask for none (net.ipv4.ip_local_port_range): those of every ROS node.
EPHEMERAL_PORTS = (32768, 60999)
#: A team trusts itself unless its file says otherwise: whoever reaches its roscore commands its robots anyway.
INSIDE_DEFAULT = (EVERYTHING,)
TALK_DEFAULT = (ROS, PING)
#: All of the robots' ports, and the way back for ROS (rviz, rostopic echo).
USER_DEFAULT = (EVERYTHING, ROS)

_RANGE = re.compile(r'([0-9]{1,5})-([0-9]{1,5})')


@dataclass(frozen=True)
class Team:
    """What all robots of a team have in common; every invitation carries it.

    :param name: DNS label.
    :param port: TCP port of the team's roscore.
    :param addressing: 'names' or 'addresses': how its robots call each other.
    :param inside: the ports that its robots open to each other.
    """

    name: str
    port: int = defaults.TEAM_PORT
    addressing: str = 'names'
    inside: tuple = INSIDE_DEFAULT

    def __post_init__(self):
        names.check_team(self.name)
        if not is_port(self.port):
            raise UsageError('The team port {!r} of {} is not a port number (1-65535).'.format(self.port, self.name),
                             'ua-overlay team create --help')
        if self.addressing not in ('names', 'addresses'):
            raise UsageError('The addressing {!r} of team {} is neither names nor addresses.'.format(
                self.addressing, self.name), 'ua-overlay team create --help')


@dataclass(frozen=True)
class Talk:
    """Robots of team ``source`` may open ``what`` (ports) on robots of team ``target``; not the other way round."""

    source: str
    target: str
    what: tuple = TALK_DEFAULT


@dataclass(frozen=True)
class User:
    """A person: the laptops that join with an invitation of ``name`` may open ``what`` on robots of ``teams``."""

    name: str
    teams: tuple
    what: tuple = USER_DEFAULT


@dataclass(frozen=True)
class Rules:
    """All of it.

    :param teams: dict name -> Team.
    :param talk: tuple of Talk.
    :param users: dict name -> User.
    :param ephemeral: (lowest, highest) port.
    """

    teams: dict = field(default_factory=dict)
    talk: tuple = ()
    users: dict = field(default_factory=dict)
    ephemeral: tuple = EPHEMERAL_PORTS


def is_port(value):
    """Whether ``value`` is a port number (and no boolean, which YAML makes of yes and no)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def parse_ports(text, option='--inside', command='team create'):
    """Ports from a command line: 'ros,ssh,8765' -> ('ros', 'ssh', 8765); '' opens nothing.

    :param option, command: where it stands, for errors.
    :raises UsageError: naming the word that is none.
    """
    def wrong(what):
        return UsageError('The command line {}.'.format(what), 'ua-overlay {} --help'.format(command))

    listed = [word.strip() for word in text.split(',') if word.strip()]
    return _checked([int(word) if word.isdigit() else word for word in listed], option, wrong)


def _checked(listed, what, wrong):
    """``listed`` as ports.

    :param wrong: function(end of a sentence) -> the error to raise.
    """
    for word in listed:
        if isinstance(word, int) and not isinstance(word, bool):
            if not is_port(word):
                raise wrong('names the port {} for {}, which is not one (1-65535)'.format(word, what))
        elif word not in WORDS:
            raise wrong('allows {!r} for {}; it can be {}, or a TCP port'.format(word, what, ', '.join(WORDS)))
    return tuple(listed)


def parse_rules(values, source):
    """Take `teams`, `talk`, `users` and `ephemeral_ports` out of the mapping ``values``; the rest stays in it.

    :param source: name of the file, for errors.
    :raises UsageError: naming ``source`` and what makes no sense.
    """
    reader = _Reader(source)
    teams = {str(name): reader.team(str(name), fields)
             for name, fields in reader.mapping('teams', values.pop('teams', None)).items()}
    talk = tuple(reader.talk(number, entry, teams)
                 for number, entry in enumerate(reader.listing('talk', values.pop('talk', None)), 1))
    pairs = [(rule.source, rule.target) for rule in talk]
    for pair in pairs:
        if pairs.count(pair) > 1:
            raise reader.wrong('says twice how {} may talk to {}'.format(*pair))
    users = {str(name): reader.user(str(name), fields, teams)
             for name, fields in reader.mapping('users', values.pop('users', None)).items()}
    return Rules(teams, talk, users, reader.ephemeral(values.pop('ephemeral_ports', None)))


class _Reader:
    """Turns what YAML gives into values, with errors that name the file."""

    def __init__(self, source):
        self._source = source

    def wrong(self, what):
        return UsageError('{} {}.'.format(self._source, what), 'edit {}'.format(self._source))

    def mapping(self, what, value):
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong('has a "{}" that is not a mapping of names'.format(what))
        return value

    def listing(self, what, value):
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong('has a "{}" that is not a list'.format(what))
        return value

    def fields(self, what, value, known):
        """``value`` as a mapping with none but ``known`` keys."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong('has, for {}, something else than {}'.format(what, ', '.join(known)))
        unknown = sorted(str(key) for key in set(value) - set(known))
        if unknown:
            raise self.wrong('has an unknown field {} for {} (known: {})'.format(unknown[0], what, ', '.join(known)))
        return value

    def team(self, name, value):
        found = dict(self.fields('team ' + name, value, ('port', 'addressing', 'inside')))
        found['inside'] = self.ports('team ' + name, found.get('inside'), INSIDE_DEFAULT)
        try:
            return Team(name, **found)
        except UsageError as error:
            raise UsageError(error.sentence, 'edit {}'.format(self._source))

    def talk(self, number, value, teams):
        what = 'rule {} of "talk"'.format(number)
        found = self.fields(what, value, ('from', 'to', 'what'))
        for end in ('from', 'to'):
            if end not in found:
                raise self.wrong('does not say "{}" in {}'.format(end, what))
            self.known_team(found[end], teams, what)
        if found['from'] == found['to']:
            raise self.wrong('lets {} talk to itself in {}: that is the field "inside" of the team'.format(
                found['from'], what))
        return Talk(found['from'], found['to'], self.ports(what, found.get('what'), TALK_DEFAULT))

    def user(self, name, value, teams):
        what = 'user ' + name
        try:
            names.check_user(name)
        except UsageError as error:
            raise UsageError(error.sentence, 'edit {}'.format(self._source))
        found = self.fields(what, value, ('teams', 'what'))
        listed = self.listing(what + ': teams', found.get('teams'))
        for team in listed:
            self.known_team(team, teams, what)
        if len(set(listed)) != len(listed):
            raise self.wrong('names a team twice for {}'.format(what))
        return User(name, tuple(listed), self.ports(what, found.get('what'), USER_DEFAULT))

    def known_team(self, name, teams, what):
        """A name that no team has would become a tag that nobody declares, and with it a policy that is refused."""
        if not isinstance(name, str) or name not in teams:
            raise self.wrong('names the team {} in {}, and there is none (teams: {})'.format(
                name, what, ', '.join(sorted(teams)) or 'none'))

    def ports(self, what, value, default):
        if value is None:
            return default
        return _checked(value if isinstance(value, list) else [value], what, self.wrong)

    def ephemeral(self, value):
        if value is None:
            return EPHEMERAL_PORTS
        match = _RANGE.fullmatch(value) if isinstance(value, str) else None
        low, high = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
        if not (is_port(low) and is_port(high) and low < high):
            raise self.wrong('has ephemeral_ports {!r}, which is not a range of ports such as {}-{}'.format(
                value, *EPHEMERAL_PORTS))
        return low, high


def dump_ports(ports):
    """Ports as YAML shows it: a flow sequence."""
    return '[{}]'.format(', '.join(str(word) for word in ports))


def dump_rules(rules):
    """The part of site.yaml that :func:`parse_rules` reads, with comments that say what each field does."""
    lines = ['## Teams: robots with one ROS graph. `port` is the TCP port of its roscore. `inside` says what robots of',
             '## the team may open on each other: everything (default), or a list of ros, ssh, ping and TCP ports.']
    lines.append('teams:' if rules.teams else 'teams: {}')
    for name in sorted(rules.teams):
        team = rules.teams[name]
        lines += ['  {}:'.format(_text(name)), '    port: {}'.format(team.port),
                  '    addressing: {}'.format(team.addressing)]
        if team.inside != INSIDE_DEFAULT:
            lines.append('    inside: {}'.format(dump_ports(team.inside)))
    lines += ['## Between teams nothing is open but this. One direction each; `what` as above (default: [ros, ping]).',
              '## `ros` opens the roscore of `to`, and the ephemeral ports both ways, for nodes call back.',
              '##   - {from: blue, to: iris, what: [ros, ping]}']
    lines.append('talk:' if rules.talk else 'talk: []')
    lines += ['  - {{from: {}, to: {}, what: {}}}'.format(_text(rule.source), _text(rule.target),
                                                         dump_ports(rule.what)) for rule in rules.talk]
    lines += ['## People, whose laptops join with `ua-overlay invite --user NAME MACHINE` and reach the robots of',
              '## their teams. `what` as above (default: [everything, ros], which also lets robots call back).',
              '##   ana: {teams: [iris]}']
    lines.append('users:' if rules.users else 'users: {}')
    for name in sorted(rules.users):
        user = rules.users[name]
        lines.append('  {}: {{teams: [{}]{}}}'.format(
            _text(name), ', '.join(_text(team) for team in user.teams),
            '' if user.what == USER_DEFAULT else ', what: ' + dump_ports(user.what)))
    lines += ['## Ports of sockets that ask for none, on every robot (sysctl net.ipv4.ip_local_port_range).',
              'ephemeral_ports: {}-{}'.format(*rules.ephemeral)]
    return '\n'.join(lines) + '\n'


def _text(name):
    """A name that YAML might take for something else (no, on, null) in quotes."""
    return '"{}"'.format(name) if name in ('no', 'on', 'off', 'yes', 'y', 'n', 'null', 'true', 'false') else name
