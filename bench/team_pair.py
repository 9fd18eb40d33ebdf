"""team_moves.py with two robots, so that six do not start their nodes on one machine at once."""
import team_moves

NAME = 'pair'


def measure(progress):
    """Returns the Figure."""
    return team_moves.measure(progress, team_moves.ROBOTS[:2], NAME, joins=5, moves=3)
