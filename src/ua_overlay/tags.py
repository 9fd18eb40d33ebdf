"""What a node's tags say. A site gives a robot its team's tag, and one more when it is the team's master."""
from ua_overlay.defaults import ADDRESSING, RESERVED_TEAMS

PREFIX = 'tag:'
#: How the attributes begin by which a site tells the robots of a team what all of them have in common.
FACT = 'ua-overlay:'
#: The user that Headscale invents for nodes with tags: nobody's name.
TAGGED = 'tagged-devices'


def team_of(tags, preferred=''):
    """The team among ``tags`` ('tag:iris' -> 'iris'), or '' when there is none.

    :param tags: iterable of str, or None.
    :param preferred: a team that wins when its tag is among them.
    """
    teams = sorted(tag[len(PREFIX):] for tag in tags or () if tag.startswith(PREFIX))
    teams = [team for team in teams if team not in RESERVED_TEAMS]
    return preferred if preferred in teams else teams[0] if teams else ''


def belonging(tags, user='', preferred=''):
    """Where a node belongs: its team ('iris'), or for the untagged machine of a user 'ana@', or ''.

    :param user: name of the node's user, '' for none.
    """
    team = team_of(tags, preferred)
    return team or (user + '@' if user and not tags and user != TAGGED else '')


def describe_belonging(belongs):
    """What :func:`belonging` says, for people: 'team iris', 'the group of user ana'."""
    return 'the group of user ' + belongs[:-1] if belongs.endswith('@') else 'team ' + belongs


def team_facts(port, addressing):
    """What a site tells every robot of a team in its network map, as node attributes."""
    return ['{}team-port={}'.format(FACT, port), '{}addressing={}'.format(FACT, addressing)]


def facts_of(attributes):
    """What the network map says of this robot's team: a dict with team_port (int) and addressing, as far as they are
    there and make sense.

    :param attributes: names of the node's attributes (Self.CapMap).
    """
    pairs = dict(each[len(FACT):].split('=', 1) for each in attributes or () if each.startswith(FACT) and '=' in each)
    port, addressing = pairs.get('team-port', ''), pairs.get('addressing', '')
    found = {}
    if port.isdigit() and 0 < int(port) < 65536:
        found['team_port'] = int(port)
    if addressing in ADDRESSING:
        found['addressing'] = addressing
    return found
