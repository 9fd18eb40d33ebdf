"""Two robots of one team whose link is observed, on topologies with a proxy or a second host: for tests and figures."""
import contextlib
import json
import os
import re
import subprocess
from typing import Callable, Iterable, Iterator, List, Optional, Tuple

from ua_overlay import link_types
from ua_overlay.lab import timeouts
from ua_overlay.lab.fleet import SITE_DIR, Fleet
from ua_overlay.lab.wait import NotInTime, wait
from ua_overlay.protocols import JsonObject
from ua_overlay.toolchain import locate

TEAM = 'iris'
ROBOTS = ('dev-1', 'dev-2')
#: The relay and DERP region on the second host.
REMOTE_HOST = 'second'
_ANSWER = re.compile(r'^\[(\d+\.\d+)\].*icmp_seq=(\d+) ')

#: (start, seconds) of a stretch of time.
Gap = Tuple[float, float]


def gaps(text: str) -> List[Gap]:
    """Return the times without an answer in the output of `ping -D`, the longest first. Pure.

    :returns: (start in Unix time, seconds).
    """
    return pauses(float(match.group(1)) for match in map(_ANSWER.match, text.splitlines()) if match)


def pauses(times: Iterable[float]) -> List[Gap]:
    """Return the gaps between neighbours of ``times`` (seconds, in any order), the longest first. Pure."""
    ordered = sorted(times)
    return sorted(((before, after - before) for before, after in zip(ordered, ordered[1:])),
                  key=lambda gap: gap[1], reverse=True)


class Pair(Fleet):
    """dev-1 and dev-2, and the link from dev-1 to dev-2."""

    def start_server(self) -> None:
        """Run `server run`, and create the team when the site has none."""
        super().start_server()
        if TEAM not in json.loads(self.site('server', 'status', '--json').stdout)['teams']:
            self.site('team', 'create', TEAM)

    def join_robots(self) -> None:
        """Have both robots join; return when dev-1 knows dev-2."""
        for robot in ROBOTS:
            path = self.carry(robot, self.invite(TEAM, robot))
            self.prepare(robot, path)
            self._wait_logged_out(robot)
            self.overlay(robot, 'join', path)
        wait('dev-2 among the peers of dev-1', lambda: self.link() is not None, timeouts.JOIN, poll=0.3)

    def _wait_logged_out(self, robot: str) -> None:
        wait('tailscaled on ' + robot, lambda: 'Logged out' in self.tailscale(robot, 'status', check=False).stdout,
             timeouts.START, poll=0.3)

    def tailscale(self, host: str, *argv: str, check: bool = True,
                  socket: Optional[str] = None) -> 'subprocess.CompletedProcess[str]':
        """Run `tailscale ARGV` as root on a host.

        :param socket: of its tailscaled; default: tailscale's own.
        """
        options = ['--socket=' + socket] if socket else []
        return self.lab.host(host).run([locate('tailscale')] + options + list(argv), env=self.base_environment(),
                                       check=check)

    def link(self) -> Optional[Tuple[str, str]]:
        """Return dev-1's link to dev-2 as (link type, endpoint or relay), None when there is no such peer."""
        status = json.loads(self.tailscale('dev-1', 'status', '--json').stdout)
        for peer in (status.get('Peer') or {}).values():
            if peer['DNSName'].startswith('dev-2.'):
                if peer.get('CurAddr'):
                    return link_types.DIRECT, peer['CurAddr']
                if peer.get('PeerRelay'):
                    return link_types.PEER_RELAY, peer['PeerRelay']
                return (link_types.DERP, peer.get('Relay', '')) if peer.get('Active') else (link_types.IDLE, '')
        return None

    def set_nats(self, kind: str) -> None:
        """Change the NATs of both robots to ``kind``, which drops their connections."""
        for router in ('nat1', 'nat2'):
            self.lab.nat(router, kind)

    def wait_link(self, kind: str, endpoint: str = '', timeout: float = timeouts.PATH) -> Tuple[str, str]:
        """Wait for a link of type ``kind`` whose endpoint begins with ``endpoint``; return the link."""
        def right() -> Optional[Tuple[str, str]]:
            link = self.link()
            return link if link and link[0] == kind and link[1].startswith(endpoint) else None

        try:
            return wait('A link {} {}'.format(kind, endpoint), right, timeout, poll=0.5)
        except NotInTime as error:
            raise NotInTime('{} It is {}.'.format(error.sentence, self.link()))

    def wait_home(self, region: str, timeout: float = 120) -> None:
        """Have both robots look for their home DERP until it is ``region`` (a code). Neither of them may be busy."""
        def is_home() -> bool:
            for robot in ROBOTS:
                self.tailscale(robot, 'debug', 'restun')
            return all(self.home(robot) == region for robot in ROBOTS)

        wait('The DERP {} as home of both robots'.format(region), is_home, timeout, poll=3.0)

    def home(self, robot: str) -> Optional[str]:
        """Return the code of the DERP region that is the robot's home."""
        home: Optional[str] = json.loads(self.tailscale(robot, 'status', '--json').stdout)['Self'].get('Relay')
        return home

    def address(self, robot: str) -> str:
        """Return its IPv4 address in the overlay."""
        return self.tailscale(robot, 'ip', '-4').stdout.strip()

    @contextlib.contextmanager
    def traffic(self) -> Iterator[Callable[[], str]]:
        """Ping dev-2 from dev-1 ten times a second, for a block; gives a function that returns the output so far."""
        log = self.lab.log_path('dev-1', 'traffic')
        self.lab.start_service('dev-1', 'traffic', ['ping', '-D', '-n', '-i', '0.1', self.address('dev-2')])
        try:
            yield lambda: read_text(log)
        finally:
            self.lab.stop_service('dev-1', 'traffic')

    # --- the second host ---

    def start_remote_hosts(self, address: str = '203.0.113.11') -> None:
        """Run a relay and a DERP region on the host `second`, by the commands that a person types."""
        for kind in ('derp', 'relay'):
            self.site(kind, 'create', REMOTE_HOST, '--address', address, '--output', '/run/enrolment.yaml')
            text = self.lab.host(self.server).run(['cat', '/run/enrolment.yaml']).stdout
            self.lab.host(self.server).run(['rm', '/run/enrolment.yaml'])
            path = '/run/{}.yaml'.format(kind)
            self.lab.host('second').run(['install', '-m', '600', '/dev/stdin', path], input=text)
            self.start_remote_host(kind, '--enrolment', path)
        wait('The relay and DERP of `second`', lambda: self.site('derp', 'list', check=False).returncode == 0
             and self.site('relay', 'list', check=False).returncode == 0, 120, poll=1.0)

    def start_remote_host(self, kind: str, *options: str) -> None:
        """Run `ua-overlay KIND run OPTIONS` on the host `second`; ``kind`` is 'derp' or 'relay'."""
        self.lab.start_service('second', kind, [self.command, kind, 'run', '--dir', '/var/lib/' + kind] + list(options),
                               env=self.base_environment())

    def relay_report(self) -> JsonObject:
        """Return what the server reports of its own relay, {} while it does not answer."""
        report: JsonObject = self.server_report().get('relay', {})
        return report

    def server_relay(self, *argv: str) -> 'subprocess.CompletedProcess[str]':
        """Run `tailscale ARGV` on the site's own relay."""
        return self.tailscale(self.server, *argv, socket=os.path.join(SITE_DIR, 'run', 'tailscaled.sock'))


def read_text(path: str) -> str:
    """Return the text of a file so far."""
    with open(path, encoding='utf-8', errors='replace') as stream:
        return stream.read()
