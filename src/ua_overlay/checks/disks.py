"""Check that there is room where this robot writes. Pure."""
from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Verdicts, error, listed, ok

#: Bytes that a step of this robot writes at most: the env file, its settings, tailscaled's state.
NEEDED = 65536
_WHY = {
    defaults.RUN_DIR: 'Shells and programs get no team environment, or an old one',
    defaults.STATE_DIR: 'The settings of the team are not kept for the next start',
    defaults.DAEMON_STATE_DIR: 'tailscaled cannot save its identity, and loses it at its next start',
}


def disk(facts: Facts) -> Verdicts:
    """There is room for the env file, the kept settings and tailscaled's state."""
    if not facts.disks:
        return None
    full = [each for each in facts.disks if each.free < NEEDED]
    if not full:
        return ok('There is room in {}.'.format(listed(each.directory for each in facts.disks)))
    return error('There is no room in {}.'.format(listed(each.directory for each in full)),
                 '; '.join(_WHY.get(each.directory, 'Nothing can be written there') for each in full) + '.',
                 command('df -h {0}; sudo du -xah {0} | sort -h | tail   # then remove what is not needed',
                         full[0].directory))
