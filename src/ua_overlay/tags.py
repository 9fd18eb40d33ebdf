"""What a node's tags say. A site gives a robot its team's tag, and one more when it is the team's master."""
from ua_overlay.defaults import RESERVED_TEAMS

PREFIX = 'tag:'
#: The user that Headscale invents for nodes with tags: nobody's name.
TAGGED = 'tagged-devices'


def team_of(tags, wished=''):
    """The team among ``tags`` ('tag:iris' -> 'iris'), or '' when there is none.

    :param tags: iterable of str, or None.
    :param wished: a team that wins when its tag is among them.
    """
    teams = sorted(tag[len(PREFIX):] for tag in tags or () if tag.startswith(PREFIX))
    teams = [team for team in teams if team not in RESERVED_TEAMS]
    return wished if wished in teams else teams[0] if teams else ''


def belonging(tags, user='', wished=''):
    """Where a node belongs: its team ('iris'), or for the untagged machine of an operator 'ana@', or ''.

    :param user: name of the node's user, '' for none.
    """
    team = team_of(tags, wished)
    return team or (user + '@' if user and not tags and user != TAGGED else '')


def place(belongs):
    """What :func:`belonging` says, for people: 'team iris', 'the group of operator ana'."""
    return 'the group of operator ' + belongs[:-1] if belongs.endswith('@') else 'team ' + belongs
