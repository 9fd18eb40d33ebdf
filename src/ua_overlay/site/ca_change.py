"""The change of a site's CA on its server: the steps, the processes that have to hear of them, and the robots.

No robot tells its server whom it trusts, and TLS cannot be asked. What is known is written down: a robot that joined
with an invitation that carried the new root has it; of the others somebody says so, when `robot prepare --ca` was run
there.
"""
import datetime
import json
import os

from ua_overlay.clock import format_rfc3339, parse_go_time
from ua_overlay.errors import OverlayError
from ua_overlay.site.admin import RobotError
from ua_overlay.system import control_socket, files
from ua_overlay.trust import roots, rotation

#: When the change began and who confirmed; gone when it is over.
RECORD = 'rotation.json'


class CaChange:
    """
    :param site: the Site.
    :param admin: the Admin of the site.
    :param now: function() -> aware UTC datetime.
    :param ask: function(socket path, operation) -> answer of the running server.
    """

    def __init__(self, site, admin, now, ask=control_socket.ask):
        self._site = site
        self._admin = admin
        self._now = now
        self._ask = ask

    def phase(self):
        """rotation.STEADY, STARTED or SWITCHED."""
        return roots.phase(self._site.directory)

    def robots(self):
        """The RobotTrust of every robot; empty while no change is under way."""
        if self.phase() == rotation.STEADY:
            return []
        started, confirmed = self._record()
        # Not only who is online now: all are away for a moment when Headscale starts again.
        since = self._now() - datetime.timedelta(days=rotation.RECENT_DAYS)
        return [rotation.robot_trust(node.name, node.online, node.invited, node.id in confirmed, started,
                                     node.last_seen is not None and node.last_seen >= since)
                for node in self._admin.robots()]

    def start(self):
        """Make the new root. A running server's Headscale and relay start again with it."""
        roots.start(self._site.directory, self._site.settings.name, self._now())
        self._save(self._now().replace(microsecond=0), ())
        self._tell('restart')
        self._tell('restart relay')

    def confirm(self, names):
        """Write down that the robots called ``names`` have the new root.

        :raises RobotError: one of them is not in the overlay; nothing is written then.
        """
        rotation.check_step(rotation.CONFIRM, self.phase(), command=self._site.command)
        nodes = {node.name: node for node in self._admin.robots()}
        for name in names:
            if name not in nodes:
                raise RobotError('The overlay has no robot {} (robots: {}).'.format(
                    name, ', '.join(sorted(nodes)) or 'none'), self._site.command('robot list'))
        with self._site.changing():
            started, confirmed = self._record()
            self._save(started, set(confirmed) | {nodes[name].id for name in names})

    def switch(self, force=False):
        """Let the new root sign; Headscale starts again with a certificate of it. Returns the new SiteTrust.

        :raises RotationError: a robot in use may not have the new root yet.
        """
        phase = self.phase()
        if phase != rotation.SWITCHED or roots.switched_whole(self._site.directory):
            rotation.check_step(rotation.SWITCH, phase, self.robots(), force, self._site.command)
        trust = roots.switch(self._site.directory, self._now())
        self._tell('restart')
        return trust

    def finish(self):
        """Forget the old root."""
        roots.finish(self._site.directory, self._now())
        self._forget()

    def cancel(self):
        """Forget the new root instead."""
        switched = self.phase() == rotation.SWITCHED
        roots.cancel(self._site.directory, self._now())
        self._forget()
        if switched:
            self._tell('restart')

    def _tell(self, operation):
        """Let a running server take what has changed.

        :raises OverlayError: it does not come back.
        """
        try:
            healthy = self._ask(self._site.control_socket, operation)['ok']
        except control_socket.NotRunning:
            return
        if not healthy:
            raise OverlayError('Headscale does not answer after its restart.',
                               'less {}'.format(self._site.path('log', 'headscale.log')))

    def _record(self):
        """(aware datetime of the start, list of node ids)"""
        try:
            with open(self._site.path(RECORD), encoding='ascii') as stream:
                values = json.load(stream)
            return parse_go_time(values['started']), [str(each) for each in values['confirmed']]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # Lost or spoilt: then nothing is known, and `switch` asks for everybody again.
            return self._now(), []

    def _save(self, started, confirmed):
        files.write_atomic(self._site.path(RECORD), json.dumps(
            {'started': format_rfc3339(started, 6), 'confirmed': sorted(confirmed)}) + '\n', mode=0o600)

    def _forget(self):
        if os.path.exists(self._site.path(RECORD)):
            os.unlink(self._site.path(RECORD))
