"""The change of a site's CA: which step may follow which, and what is known of the robots. Pure.

Two roots overlap, so that at no moment a robot trusts less than what the server shows:

    STEADY     one root, which signs
    STARTED    the old root signs; robots are given both, one by one
    SWITCHED   the new root signs; both are still handed out
    STEADY     the old root is gone
"""
from dataclasses import dataclass

from ua_overlay.errors import OverlayError

STEADY, STARTED, SWITCHED = 'STEADY', 'STARTED', 'SWITCHED'
#: Root and keys of which one step was written and not the next: `settled` says what to do.
PROMOTE, DISCARD = 'PROMOTE', 'DISCARD'
START, SWITCH, FINISH, CANCEL, CONFIRM = 'start', 'switch', 'finish', 'cancel', 'confirm'

#: Days after which a robot that was not seen is not waited for.
RECENT_DAYS = 7
#: How a robot is known to trust the new root.
JOINED, CONFIRMED = 'joined', 'confirmed'

#: step -> phases in which it makes sense.
_ALLOWED = {START: (STEADY,), SWITCH: (STARTED,), FINISH: (SWITCHED,), CANCEL: (STARTED, SWITCHED),
            CONFIRM: (STARTED, SWITCHED)}
_WHY_NOT = {STEADY: 'No change of the CA is under way.', STARTED: 'A change of the CA is under way: the new root is '
            'being given to the robots.', SWITCHED: 'The new root of the CA signs already.'}
_NEXT = {STEADY: 'server rotate-ca start', STARTED: 'server rotate-ca switch', SWITCHED: 'server rotate-ca finish'}


class RotationError(OverlayError):
    """A step of the change of the CA that makes no sense now, or would lock robots out."""

    code = 'ROTATION'


@dataclass(frozen=True)
class RobotTrust:
    """What the server knows of a robot's trust in the new root.

    known: JOINED (with an invitation that carried it), CONFIRMED (somebody said that the robot has it) or '': not
    known, for no robot tells its server whom it trusts. recent: it was seen within RECENT_DAYS, so it is in use.
    """

    name: str
    online: bool
    known: str = ''
    recent: bool = False

    @property
    def waited_for(self):
        """Whether a switch would lock out a robot that is in use."""
        return (self.online or self.recent) and not self.known


def phase_of(roots, key, next_key):
    """The phase that a site's files are in.

    :param roots: ids of the roots that are handed out, the one that signs first.
    :param key: id of the root that the CA's key belongs to, '' without one.
    :param next_key: id of the root that the second key belongs to, '' without one.
    :returns: a phase; PROMOTE: the second key is the CA's now; DISCARD: the second key is of nothing any more; '' when
        they do not fit together.
    """
    if len(roots) == 1:
        if roots[0] == key:
            return DISCARD if next_key else STEADY
        if not key and not next_key:
            # A certificate that was made elsewhere, or a CA whose key is kept elsewhere.
            return STEADY
        return PROMOTE if roots[0] == next_key else ''
    if tuple(roots) == (key, next_key):
        return STARTED
    return SWITCHED if tuple(roots) == (next_key, key) else ''


def robot_trust(name, online, invited, confirmed, started, recent=False):
    """The RobotTrust of a robot.

    :param invited: when its invitation was made (anything that compares with ``started``), None: not known.
    :param confirmed: somebody said that it has the new root.
    """
    known = JOINED if invited is not None and invited >= started else CONFIRMED if confirmed else ''
    return RobotTrust(name, online, known, recent)


def check_step(step, phase, robots=(), force=False, command=str):
    """Say why ``step`` may not be done now.

    :param robots: RobotTrust of each robot; only SWITCH asks for them.
    :param force: also when robots would be locked out.
    :param command: function(text) -> command line for people that means the site.
    :raises RotationError:
    """
    if phase not in _ALLOWED[step]:
        raise RotationError(_WHY_NOT[phase], command(_NEXT[phase]))
    waiting = [robot.name for robot in robots if robot.waited_for]
    if step == SWITCH and waiting and not force:
        raise RotationError(
            'Of {} it is not known that {} the new root: once its tailscaled starts again without it, a robot does not '
            'come back.'.format(', '.join(waiting), 'it has' if len(waiting) == 1 else 'they have'),
            '{}, after `sudo ua-overlay robot prepare --ca ca.pem` there; or --force'.format(
                command('server rotate-ca confirm {}'.format(waiting[0]))))
