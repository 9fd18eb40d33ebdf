"""Allow or refuse the start of another Headscale version on a site's database, and make a backup before it."""
import os
from typing import Callable, Tuple

from ua_overlay.clock import file_stamp
from ua_overlay.headscale import versions
from ua_overlay.protocols import Say, UtcClock
from ua_overlay.site import backup
from ua_overlay.site.site import BACKUPS, Site
from ua_overlay.system import files
from ua_overlay.trust import store

#: How many backups of upgrades are kept.
KEPT = 5


class UpgradeGuard:
    """Decides before each start of Headscale whether it is allowed.

    :param installed: returns the version that the headscale program prints.
    :param say: prints one line to the terminal or the journal.
    """

    def __init__(self, site: Site, installed: Callable[[], str], now: UtcClock, say: Say) -> None:
        self._site = site
        self._installed = installed
        self._now = now
        self._say = say

    def step(self) -> Tuple[str, str, str]:
        """Classify the next start.

        :returns: (versions.FIRST, SAME, PATCH or UPGRADE; recorded version; installed version).
        :raises VersionError: it would skip a minor version, or go back.
        """
        recorded, installed = versions.recorded(self._site), self._installed()
        return versions.decide(recorded, installed), recorded, installed

    def before_start(self) -> str:
        """Refuse the start, or make a backup if one is necessary.

        :returns: the path of the backup, '' without one.
        :raises VersionError: see :meth:`step`.
        :raises BackupError: the database cannot be backed up, so Headscale must not start.
        """
        step, recorded, installed = self.step()
        if step == versions.SAME or not versions.has_database(self._site):
            return ''
        path = self._back_up()
        self._say('Headscale {} takes over from {}; a backup of the site is in {}.'.format(
            versions.short(installed), recorded or 'an unknown version', path))
        return path

    def after_start(self) -> None:
        """Record the installed version as the database's, after Headscale became healthy."""
        versions.record(self._site, self._installed())

    def _back_up(self) -> str:
        folder = self._site.path(BACKUPS)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        owner = store.owner_of(self._site.directory)
        if owner is not None:
            # The administrator created it, but the service's user must be able to write to it.
            os.chown(folder, *owner)
        path = os.path.join(folder, 'before-upgrade-{}.backup'.format(file_stamp(self._now())))
        backup.write(self._site, path, self._now())
        ours = sorted(name for name in os.listdir(folder) if name.startswith('before-upgrade-'))
        for name in ours[:-KEPT]:
            os.unlink(os.path.join(folder, name))
        files.sync_directory(folder)
        return path
