"""The change of a site's CA: the order of its steps, and the evidence about the robots. Pure.

The two roots overlap, so that every robot always trusts the root that the server uses:

    STEADY     one root, which signs
    STARTED    the old root signs; robots get both, one by one
    SWITCHED   the new root signs; robots still get both
    STEADY     the old root is gone
"""
import datetime
from dataclasses import dataclass
from typing import Callable, Iterable, Optional, Sequence

from ua_overlay.errors import OverlayError

STEADY, STARTED, SWITCHED = 'STEADY', 'STARTED', 'SWITCHED'
#: Repairs after an interrupted step: move the second key over the first, or delete it.
PROMOTE, DISCARD = 'PROMOTE', 'DISCARD'
START, SWITCH, FINISH, CANCEL, CONFIRM = 'start', 'switch', 'finish', 'cancel', 'confirm'

#: A robot that was last seen more than this many days ago does not block a switch.
RECENT_DAYS = 7
#: The evidence that a robot trusts the new root.
JOINED, CONFIRMED = 'joined', 'confirmed'

#: The phases in which each step is allowed.
_ALLOWED = {START: (STEADY,), SWITCH: (STARTED,), FINISH: (SWITCHED,), CANCEL: (STARTED, SWITCHED),
            CONFIRM: (STARTED, SWITCHED)}
_WHY_NOT = {STEADY: 'No change of the CA has been started.',
            STARTED: 'A change of the CA has been started: the robots are getting the new root.',
            SWITCHED: 'The new CA root is already signing.'}
_NEXT = {STEADY: 'server rotate-ca start', STARTED: 'server rotate-ca switch', SWITCHED: 'server rotate-ca finish'}


class RotationError(OverlayError):
    """A step of the change of the CA is not allowed now, or would lock robots out."""

    code = 'ROTATION'


@dataclass(frozen=True)
class RobotTrust:
    """The server's knowledge about a robot's trust in the new root.

    :param evidence: JOINED (with an invitation that carried it), CONFIRMED (by a person), or '' for none. A robot
        itself does not report which certificates it trusts.
    :param recent: it was seen within RECENT_DAYS, so it counts as in use.
    """

    name: str
    online: bool
    evidence: str = ''
    recent: bool = False

    @property
    def waited_for(self) -> bool:
        """Whether a switch could lock out this robot, and it is in use."""
        return (self.online or self.recent) and not self.evidence


def phase_of(roots: Sequence[str], key: str, next_key: str) -> str:
    """Return the phase in which a site's files are.

    :param roots: ids of the roots that robots get, the signing one first.
    :param key: id of the root that the CA's key belongs to, '' without a key.
    :param next_key: id of the root that the second key belongs to, '' without a key.
    :returns: a phase; PROMOTE if the second key now belongs to the CA; DISCARD if the second key is obsolete; '' if the
        files are inconsistent.
    """
    if len(roots) == 1:
        if roots[0] == key:
            return DISCARD if next_key else STEADY
        if not key and not next_key:
            # An imported certificate, or a CA whose key is kept elsewhere.
            return STEADY
        return PROMOTE if roots[0] == next_key else ''
    if tuple(roots) == (key, next_key):
        return STARTED
    return SWITCHED if tuple(roots) == (next_key, key) else ''


def robot_trust(name: str, online: bool, invited: Optional[datetime.datetime], confirmed: bool,
                started: datetime.datetime, recent: bool = False) -> RobotTrust:
    """Return the evidence about a robot.

    :param invited: when its invitation was made, None when it is not known.
    :param confirmed: a person confirmed that it has the new root.
    :param started: when the change began.
    """
    evidence = JOINED if invited is not None and invited >= started else CONFIRMED if confirmed else ''
    return RobotTrust(name, online, evidence, recent)


def check_step(step: str, phase: str, robots: Iterable[RobotTrust] = (), force: bool = False,
               command: Callable[[str], str] = str) -> None:
    """Check that ``step`` is allowed now.

    :param robots: all robots; only SWITCH needs them.
    :param force: allow a switch that may lock robots out.
    :param command: turns a subcommand into the full command line for this site.
    :raises RotationError: the step is not allowed.
    """
    if phase not in _ALLOWED[step]:
        raise RotationError(_WHY_NOT[phase], command(_NEXT[phase]))
    waiting = [robot.name for robot in robots if robot.waited_for]
    if step == SWITCH and waiting and not force:
        raise RotationError(
            '{} may not trust the new root yet: {}. A robot without it loses the server when its tailscaled '
            'restarts.'.format('This robot' if len(waiting) == 1 else 'These robots', ', '.join(waiting)),
            '{}   # after, on the robot: sudo ua-overlay robot prepare --ca ca.pem'.format(
                command('server rotate-ca confirm {}'.format(waiting[0]))))
