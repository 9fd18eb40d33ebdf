"""What happens when another Headscale starts on a site's database: it is allowed or refused, and backed up before."""
import os

from ua_overlay.clock import file_stamp
from ua_overlay.headscale import versions
from ua_overlay.site import backup
from ua_overlay.system import files
from ua_overlay.trust import store

#: Backups of upgrades that are kept.
KEPT = 5


class UpgradeGuard:
    """Stands before each start of Headscale.

    :param site: the Site.
    :param installed: function() -> what the headscale program says of its version.
    :param now: function() -> aware UTC datetime.
    :param say: function(str): one line for the person or the journal.
    """

    def __init__(self, site, installed, now, say):
        self._site = site
        self._installed = installed
        self._now = now
        self._say = say

    def step(self):
        """What a start would be: (versions.FIRST, SAME, PATCH or UPGRADE, recorded version, installed version).

        :raises VersionError: it would skip a minor version or go back.
        """
        recorded, installed = versions.recorded(self._site), self._installed()
        return versions.decide(recorded, installed), recorded, installed

    def before_start(self):
        """Refuse the start, or make what it needs; returns the path of a backup or ''.

        :raises VersionError: see `step`.
        :raises BackupError: the database cannot be backed up; then it is not touched either.
        """
        step, recorded, installed = self.step()
        if step == versions.SAME or not versions.has_database(self._site):
            return ''
        path = self._back_up()
        self._say('Headscale {} takes over from {}; the site as it was is in {}.'.format(
            versions.short(installed), recorded or 'an unknown version', path))
        return path

    def after_start(self):
        """Headscale is healthy: from now on the database is of its version."""
        versions.record(self._site, self._installed())

    def _back_up(self):
        folder = self._site.path(backup.BACKUP_DIR)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        owner = store.owner_of(self._site.directory)
        if owner is not None:
            # Made by an administrator, filled by the service's user.
            os.chown(folder, *owner)
        path = os.path.join(folder, 'before-upgrade-{}.backup'.format(file_stamp(self._now())))
        backup.write(self._site, path, self._now())
        ours = sorted(name for name in os.listdir(folder) if name.startswith('before-upgrade-'))
        for name in ours[:-KEPT]:
            os.unlink(os.path.join(folder, name))
        files.sync_directory(folder)
        return path
