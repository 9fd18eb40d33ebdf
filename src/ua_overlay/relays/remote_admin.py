"""What the server's administrator does with relays and DERP regions on remote hosts."""
import dataclasses
import datetime

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import derp_map, remote_hosts
from ua_overlay.headscale.remote_hosts import DerpHost, RelayHost
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.system import control_socket, files
from ua_overlay.trust import store


class HostError(OverlayError):
    """A relay or DERP region that is there already, or is not."""

    code = 'REMOTE_HOST'


class RemoteAdmin:
    """Creates and removes them.

    :param site: the Site.
    :param connect: function() -> RestClient of the running server.
    :param now: function() -> aware UTC datetime.
    :param ask: function(socket path, operation) -> answer of the running server.
    """

    def __init__(self, site, connect, now, ask=control_socket.ask):
        self.site = site
        self._connect = connect
        self._now = now
        self._ask = ask

    def create_relay(self, relay, lifetime, again=False):
        """Name a remote relay (RelayHost) and make its Enrolment, whose key lives ``lifetime`` seconds.

        :param again: it is named already, and its host is set up anew.
        :raises HostError: the name is taken, or unknown with ``again``.
        :raises RestError: the server does not run; nothing has changed then.
        """
        with self.site.changing():
            relay = self._check('relays', relay, again)
            client = self._connect()
            if again:
                for node in client.nodes():
                    if node.tags == (defaults.RELAY_TAG,) and node.requested_name == relay.host_name:
                        client.delete_node(node.id)
            key = client.create_key([defaults.RELAY_TAG], self._now() + datetime.timedelta(seconds=lifetime))
            try:
                self._replace('relays', relay)
            except BaseException:
                client.expire_key(key.id)
                raise
        return enrolments.Enrolment(enrolments.RELAY, relay.name, self.site.settings.url, self._ca(), relay.address,
                                    relay.port, key=key.key)

    def create_derp(self, name, address, port, stun_port, again=False):
        """Name a remote DERP region and make its Enrolment with a certificate of the site's CA.

        :returns: (Enrolment, whether a running server knows it now).
        """
        with self.site.changing():
            settings = self.site.settings
            if again:
                host = self._check('derp', DerpHost(name, remote_hosts.REGIONS[0], address or '127.0.0.1'), True)
            else:
                host = self._check('derp', DerpHost(name, remote_hosts.free_region(settings.derp), address, port,
                                                    stun_port), False)
            host_name = host.host_name(settings.name)
            key, chain = store.issue(self.site.directory, [host_name], self._now(), defaults.DERP_CERTIFICATE_DAYS)
            reloaded = False
            if not again:
                self._replace('derp', host)
                reloaded = self._reconfigure()
        return enrolments.Enrolment(enrolments.DERP, host.name, settings.url, self._ca(), host.address, host.port,
                                    stun_port=host.stun_port, host_name=host_name, certificate=chain,
                                    certificate_key=key), reloaded

    def remove(self, section, name):
        """Forget the relay ('relays') or region ('derp') ``name``; a relay's node leaves the overlay.

        :raises HostError: there is none.
        """
        with self.site.changing():
            found = self._find(section, name)
            if section == 'relays':
                client = self._connect()
                for node in client.nodes():
                    if node.tags == (defaults.RELAY_TAG,) and node.requested_name == found.host_name:
                        client.expire_node(node.id)
                        client.delete_node(node.id)
            self._write(**{section: tuple(each for each in getattr(self.site.settings, section) if each != found)})
            return self._reconfigure() if section == 'derp' else False

    def _find(self, section, name):
        known = getattr(self.site.settings, section)
        found = next((each for each in known if each.name == name), None)
        if found is None:
            kind = 'relay' if section == 'relays' else 'derp'
            raise HostError('The site has no remote {} {} (there are: {}).'.format(
                kind, name, ', '.join(each.name for each in known) or 'none'),
                self.site.command('{} list'.format(kind)))
        return found

    def _check(self, section, host, again):
        if again:
            return self._find(section, host.name)
        if any(each.name == host.name for each in getattr(self.site.settings, section)):
            kind = 'relay' if isinstance(host, RelayHost) else 'derp'
            raise HostError('The site has a {} {} already.'.format(kind, host.name),
                            'another name, or {} for a new enrolment'.format(
                                self.site.command('{} create {} --again'.format(kind, host.name))))
        dataclasses.replace(self.site.settings, **{
            section: getattr(self.site.settings, section) + (host,)})  # refuses what does not fit
        return host

    def _replace(self, section, host):
        others = [each for each in getattr(self.site.settings, section) if each.name != host.name]
        self._write(**{section: tuple(sorted(others + [host], key=lambda each: each.name))})

    def _write(self, **changes):
        before = self.site.settings
        self.site.settings = dataclasses.replace(before, **changes)
        try:
            self.site.write_settings()
        except BaseException:
            self.site.settings = before
            raise

    def _reconfigure(self):
        """Let a running server take site.yaml's regions. Returns whether one runs."""
        if not self.site.settings.derp:
            files.write_atomic(self.site.path(derp_map.MAP_FILE), 'regions: {}\n', mode=0o600)
        try:
            self._ask(self.site.control_socket, 'reconfigure')
        except control_socket.NotRunning:
            return False
        return True

    def _ca(self):
        with open(self.site.ca_file, encoding='ascii') as stream:
            return stream.read()
