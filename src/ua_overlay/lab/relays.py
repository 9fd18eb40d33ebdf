"""Two robots of one team whose links are watched, on topologies with a proxy or a second host: tests and figures."""
import contextlib
import json
import os
import re

from ua_overlay import link_types
from ua_overlay.lab.fleet import SITE_DIR, Fleet
from ua_overlay.lab.wait import NotInTime, wait
from ua_overlay.toolchain import locate

TEAM = 'iris'
ROBOTS = ('dev-1', 'dev-2')
#: The relay and DERP region on the second host.
REMOTE_HOST = 'second'
_ANSWER = re.compile(r'^\[(\d+\.\d+)\].*icmp_seq=(\d+) ')


def gaps(text):
    """The times without an answer in the output of `ping -D`: list of (start, seconds), the longest first."""
    return pauses(float(match.group(1)) for match in map(_ANSWER.match, text.splitlines()) if match)


def pauses(times):
    """What lies between neighbours of ``times`` (seconds, in any order): [(start, seconds), …], the longest first."""
    ordered = sorted(times)
    return sorted(((before, after - before) for before, after in zip(ordered, ordered[1:])),
                  key=lambda gap: gap[1], reverse=True)


class Pair(Fleet):
    """dev-1 and dev-2; dev-1 looks at its link to dev-2."""

    def start_server(self):
        super().start_server()
        if 'iris' not in json.loads(self.site('server', 'status', '--json').stdout)['teams']:
            self.site('team', 'create', TEAM)

    def join_robots(self):
        """Both robots join; returns when each knows the other."""
        for robot in ROBOTS:
            path = self.carry(robot, self.invite(TEAM, robot))
            self.prepare(robot, path)
            wait('tailscaled on ' + robot,
                 lambda robot=robot: self.tailscale(robot, 'status', check=False).returncode in (0, 1) and (
                'Logged out' in self.tailscale(robot, 'status', check=False).stdout), 30)
            self.overlay(robot, 'join', path)
        wait('dev-2 among the peers of dev-1', lambda: self.link() is not None, 60)

    def tailscale(self, host, *argv, check=True, socket=None):
        """`tailscale ARGV` as root on a host."""
        options = ['--socket=' + socket] if socket else []
        return self.lab.host(host).run([locate('tailscale')] + options + list(argv), env=self.base_environment(),
                                       check=check)

    def link(self):
        """dev-1's link to dev-2 as (type, endpoint or relay), None when there is no such peer."""
        status = json.loads(self.tailscale('dev-1', 'status', '--json').stdout)
        for peer in (status.get('Peer') or {}).values():
            if peer['DNSName'].startswith('dev-2.'):
                if peer.get('CurAddr'):
                    return link_types.DIRECT, peer['CurAddr']
                if peer.get('PeerRelay'):
                    return link_types.PEER_RELAY, peer['PeerRelay']
                return (link_types.DERP, peer.get('Relay')) if peer.get('Active') else (link_types.IDLE, '')
        return None

    def wait_link(self, kind, endpoint='', timeout=180):
        """Wait for a link of ``kind`` whose endpoint begins with ``endpoint``; returns the link."""
        def right():
            link = self.link()
            return link if link and link[0] == kind and link[1].startswith(endpoint) else None

        try:
            return wait('A link {} {}'.format(kind, endpoint), right, timeout, poll=0.3)
        except NotInTime as error:
            raise NotInTime('{} It is {}.'.format(error.sentence, self.link()))

    def wait_home(self, region, timeout=120):
        """Have both robots look for their DERP home until it is ``region`` (a code). None of them may be busy."""
        def there():
            for robot in ROBOTS:
                self.tailscale(robot, 'debug', 'restun')
            return all(self.home(robot) == region for robot in ROBOTS)

        wait('The DERP {} as home of both robots'.format(region), there, timeout, poll=3.0)

    def home(self, robot):
        """The code of the DERP region that is its home."""
        return json.loads(self.tailscale(robot, 'status', '--json').stdout)['Self'].get('Relay')

    def address(self, robot):
        """Its IPv4 address in the overlay."""
        return self.tailscale(robot, 'ip', '-4').stdout.strip()

    @contextlib.contextmanager
    def traffic(self):
        """Ping dev-2 from dev-1 ten times a second; yields function() -> output so far."""
        log = self.lab.log_path('dev-1', 'traffic')
        self.lab.start_service('dev-1', 'traffic', ['ping', '-D', '-n', '-i', '0.1', self.address('dev-2')])
        try:
            yield lambda: open_text(log)
        finally:
            self.lab.stop_service('dev-1', 'traffic')

    # --- the second host ---

    def start_remote_hosts(self, address='203.0.113.11'):
        """A relay and a DERP region on the host `second`, by the commands that a person types."""
        for kind in ('derp', 'relay'):
            self.site(kind, 'create', REMOTE_HOST, '--address', address, '--output', '/run/enrolment.yaml')
            text = self.lab.host(self.server).run(['cat', '/run/enrolment.yaml']).stdout
            self.lab.host(self.server).run(['rm', '/run/enrolment.yaml'])
            path = '/run/{}.yaml'.format(kind)
            self.lab.host('second').run(['install', '-m', '600', '/dev/stdin', path], input=text)
            self.start_remote_host(kind, '--enrolment', path)
        wait('The relay and DERP of `second`', lambda: self.site('derp', 'list', check=False).returncode == 0
                   and self.site('relay', 'list', check=False).returncode == 0, 120, poll=0.5)

    def start_remote_host(self, kind, *options):
        self.lab.start_service('second', kind, [self.command, kind, 'run', '--dir', '/var/lib/' + kind] + list(options),
                               env=self.base_environment())

    def relay_report(self):
        """What the server says of its own relay."""
        return json.loads(self.site('server', 'status', '--json', check=False).stdout)['relay_report']

    def server_relay(self, *argv):
        """`tailscale ARGV` on the site's own relay."""
        return self.tailscale(self.server, *argv, socket=os.path.join(SITE_DIR, 'run', 'tailscaled.sock'))


def open_text(path):
    """The text of a file so far."""
    with open(path, encoding='utf-8', errors='replace') as stream:
        return stream.read()
