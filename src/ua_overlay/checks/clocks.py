"""Check that the clocks of a team's robots agree, in milliseconds. Pure."""
from urllib.parse import urlsplit

from ua_overlay.advice import command
from ua_overlay.checks.facts import ClockOffset, Facts
from ua_overlay.checks.finding import Verdicts, error, listed, ok, warn

#: Seconds. tf refuses to extrapolate by more than 0.1 s in most configurations (robot_localization, move_base).
WARNING, ERROR = 0.05, 1.0


def team_clocks(facts: Facts) -> Verdicts:
    """The clocks of this robot and of its team mates agree."""
    if not facts.clocks:
        return None
    apart = [item for item in facts.clocks if certain(item) > WARNING]
    if not apart:
        return ok('The clocks agree within {:.0f} ms: {}.'.format(
            1000 * max(abs(item.offset) for item in facts.clocks), listed(describe(item) for item in facts.clocks)))
    level = error if any(certain(item) > ERROR for item in apart) else warn
    server = urlsplit(facts.server.url).hostname if facts.server is not None else None
    return level('The clocks of this robot and of {} differ.'.format(listed(describe(item) for item in apart)),
                 'tf refuses transforms that lie 100 ms in the past or the future. One time source for the whole team '
                 'mends it; the site\'s server can be it (`Clocks` in docs/operate.md).',
                 command('sudo apt install -y chrony; echo "server {} iburst prefer" | sudo tee -a '
                         '/etc/chrony/chrony.conf; sudo systemctl restart chrony   # on each of them',
                         server or 'SERVER'))


def certain(item: ClockOffset) -> float:
    """Return the smallest difference that the measurement allows, in seconds."""
    return max(0.0, abs(item.offset) - item.error)


def describe(item: ClockOffset) -> str:
    """Return 'dev-1 (+12 ms, measured to 3 ms)'."""
    return '{} ({:+.0f} ms, measured to {:.0f} ms)'.format(item.peer, 1000 * item.offset, 1000 * item.error)
