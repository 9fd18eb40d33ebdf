"""Room where the robot writes."""
from ua_overlay.checks import disks
from ua_overlay.checks.facts import Disk, Facts
from unit.checks.healthy import FACTS, changed


def test_disk():
    assert disks.disk(FACTS).level == 'OK' and disks.disk(Facts()) is None
    verdict = disks.disk(changed(disks=(Disk('/run/ua_overlay', 0), Disk('/var/lib/tailscale', 10 ** 9))))
    assert verdict.level == 'ERROR' and verdict.what == 'There is no room in /run/ua_overlay.'
    assert 'no team environment' in verdict.why and verdict.next_command.startswith('df -h /run/ua_overlay; ')
