"""What a node's tags say. A site gives a robot its team's tag, and one more when it is the team's master."""
from ua_overlay.defaults import RESERVED_TEAMS

PREFIX = 'tag:'


def team_of(tags, wished=''):
    """The team among ``tags`` ('tag:iris' -> 'iris'), or '' when there is none.

    :param tags: iterable of str, or None.
    :param wished: a team that wins when its tag is among them.
    """
    teams = sorted(tag[len(PREFIX):] for tag in tags or () if tag.startswith(PREFIX))
    teams = [team for team in teams if team not in RESERVED_TEAMS]
    return wished if wished in teams else teams[0] if teams else ''
