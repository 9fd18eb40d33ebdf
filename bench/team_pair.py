"""team_moves.py with two robots: what is left when six of them do not start their nodes on one machine at once."""
import team_moves

NAME = 'pair'


def measure(progress):
    """Returns the Figure."""
    return team_moves.measure(progress, team_moves.ROBOTS[:2], NAME, joins=5, moves=3)
