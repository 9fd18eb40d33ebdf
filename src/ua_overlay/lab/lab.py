"""A lab: hosts, routers and a DNS server on one machine, made and removed together."""
import json
import os
import signal
import time
from types import TracebackType
from typing import Dict, Iterable, List, Optional, Sequence, Tuple, Type

from ua_overlay import resources
from ua_overlay.advice import command as command_line
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.lab import dns, link, nat, network, requirements, state
from ua_overlay.lab import topology as topologies
from ua_overlay.lab.host import Host, HostMaker, LabCommandFailed
from ua_overlay.lab.kernel import ProcessHandle
from ua_overlay.lab.lab_socket import ControlServer
from ua_overlay.lab.topology import INET, Topology
from ua_overlay.protocols import Argv, Clock, Environ, JsonObject
from ua_overlay.system import files, foreign_file
from ua_overlay.toolchain.find import cache_dir

STATE_ROOT = state.STATE_ROOT
CONGESTION_SYSCTL = '/proc/sys/net/ipv4/tcp_congestion_control'
#: The lab of `ua-overlay lab up` without --name.
DEFAULT_NAME = 'lab'
#: Seconds for a router to forget its paths.
FORGET_TIMEOUT = 10.0
#: Seconds within which the DNS server must answer.
DNS_TIMEOUT = 30.0


def load_topology(path: str) -> Topology:
    """Read a topology file.

    :raises TopologyError: it is invalid. :raises UsageError: it cannot be read.
    """
    try:
        return topologies.parse(foreign_file.read_text(path), str(path))
    except OSError as error:
        raise UsageError('The topology {} cannot be read: {}.'.format(path, error.strerror))


def default_share() -> List[str]:
    """Return the directories that hosts share with the machine: the package, its data and the cache of programs."""
    package = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    candidates = [os.path.realpath(path) for path in (resources.share_dir(), os.path.dirname(package), cache_dir())]
    return [path for path in dict.fromkeys(candidates) if os.path.isdir(path)]


class Lab:
    """A running lab. :meth:`up` makes one, :meth:`attach` finds one. A context manager that takes it down at the end.

    Each host has its own processes, network, host name and mounts. /etc, /var, /home and /root show the machine's
    files, and changes to them stay in the host; /run is empty; /tmp, shared directories and all others are the
    machine's.
    """

    def __init__(self, files_: state.LabState, topology: Topology, hosts: Dict[str, Host],
                 makers: Iterable[HostMaker] = ()) -> None:
        self.state = files_
        self.topology = topology
        self.hosts = hosts
        self._makers = list(makers)

    @property
    def name(self) -> str:
        """The name of the lab."""
        return self.state.name

    @property
    def directory(self) -> str:
        """The directory of its state."""
        return self.state.directory

    @classmethod
    def up(cls, topology: Topology, name: str = DEFAULT_NAME, state_root: str = STATE_ROOT, bound: bool = False,
           share: Iterable[str] = ()) -> 'Lab':
        """Build a lab.

        :param name: labs of different names run side by side.
        :param bound: the lab ends with this process, however that ends; otherwise it stays until :meth:`down`.
        :param share: more directories of the machine that hosts share, in which they also write.
        :raises OverlayError: LAB_UNAVAILABLE, LAB_EXISTS, LAB_HOST, LAB_KERNEL, LAB_DNS; nothing of it is left then.
        """
        requirements.check()
        if topology.congestion:
            requirements.offer_congestion(topology.congestion)
        store = state.LabState(name, state_root)
        state.sweep(store.root)
        cls._remove_dead(store)
        record = {'topology': topology.source, 'maker': state.maker(), 'bound': bound, 'complete': False, 'hosts': {}}
        store.claim(record)
        lab = cls(store, topology, {})
        try:
            lab._build(record, default_share() + [os.path.realpath(path) for path in share])
        except BaseException:
            lab.down()
            raise
        return lab

    @staticmethod
    def _remove_dead(store: state.LabState) -> None:
        """Remove an unusable lab: its maker has ended, and it is incomplete, bound or dead."""
        try:
            record = store.read()
        except OverlayError:
            return
        # Dead means that every host has ended: a person has to decide over a lab that has some left.
        alive = any(state.runs(process) for process in record['hosts'].values())
        if not state.runs(record['maker']) and (record['bound'] or not record['complete'] or not alive):
            store.remove()

    @classmethod
    def attach(cls, name: str = DEFAULT_NAME, state_root: str = STATE_ROOT) -> 'Lab':
        """Return a lab that another process made.

        :raises OverlayError: LAB_UNAVAILABLE when not root, LAB_MISSING, or LAB_BROKEN when a host has ended or `up`
            was interrupted.
        """
        requirements.check_root()
        store = state.LabState(name, state_root)
        record = store.read()
        broken = [host for host, process in record['hosts'].items() if not state.runs(process)]
        if broken or not record['complete']:
            problem = 'host {} has ended'.format(broken[0]) if broken else 'it was never completed'
            raise OverlayError('The lab {} is broken: {}.'.format(name, problem),
                               command_line('ua-overlay lab down --name {}', name), code='LAB_BROKEN')
        hosts = {host: Host(host, ProcessHandle(process['pid'], process['start']))
                 for host, process in record['hosts'].items()}
        return cls(store, topologies.from_mapping(record['topology']), hosts)

    @staticmethod
    def names(state_root: str = STATE_ROOT) -> List[str]:
        """Return the names of the labs of this machine, broken ones included."""
        return state.names(state_root)

    def _build(self, record: JsonObject, share: Sequence[str]) -> None:
        for spec in host_specs(self.topology, share, self.state.path('control')):
            self._makers.append(HostMaker(spec, self.directory))
        boot = record['maker']['boot']
        for maker in self._makers:
            made = maker.wait_ready()
            self.hosts[made.name] = made
            record['hosts'][made.name] = {'pid': made.pid, 'start': made.process.start, 'boot': boot}
        self.state.write(record)
        network.build(self.topology, {name: host.pid for name, host in self.hosts.items()})
        for router in self.topology.nats:
            self.nat(router.name, router.kind)
        self.start_service(INET, dns.SERVICE, dns.command(self.topology.dns, self.topology.names))
        inet = self.hosts[INET].pid
        dns.wait_until_answering(lambda: network.udp_socket(inet), self.topology.dns, time.monotonic() + DNS_TIMEOUT)
        for host, shape in self.topology.links.items():
            link.set_shape(self, host, shape)
        # Keep first, complete last: a maker killed in between leaves a lab that the next `up` or `down` removes.
        if not record['bound']:
            for maker in self._makers:
                maker.keep()
        record['complete'] = True
        self.state.write(record)

    def __enter__(self) -> 'Lab':
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.down()

    def down(self) -> None:
        """End every process and remove every file of the lab. :raises OverlayError: LAB_STUCK."""
        for maker in self._makers:
            maker.drop()
        self.state.remove()

    def host(self, name: str) -> Host:
        """Return a host. :raises UsageError: there is no such host; the sentence names the hosts of the lab."""
        if name not in self.hosts:
            raise UsageError('The lab {} has no host {}; it has {}.'.format(
                self.name, name, ', '.join(sorted(self.hosts))))
        return self.hosts[name]

    def nat(self, name: str, kind: str) -> None:
        """Change the kind of a router: replace its rules in one transaction, then make it forget every UDP path.

        :raises UsageError: unknown router or kind. :raises OverlayError: LAB_KERNEL, nftables refuses.
        """
        router = self.topology.nat(name)
        if kind not in nat.KINDS:
            raise UsageError('{} is no kind of NAT; there are {}.'.format(kind, ', '.join(nat.KINDS)))
        host = self.host(router.name)
        try:
            host.run(['nft', '-f', '-'], input=nat.ruleset(kind, self.topology.dns, router.forward))
        except LabCommandFailed as error:
            raise OverlayError('This kernel\'s nftables cannot do what a NAT needs ({}).'.format(
                error.stderr.strip().splitlines()[0] if error.stderr.strip() else 'status {}'.format(error.returncode)),
                code='LAB_KERNEL')
        # A live path would survive a change of the rules. Only UDP, which the kinds differ in: a router that also loses
        # its TCP connections looks like one that was switched off and on, and tailscaled needs longer then.
        forget_udp(host)
        files.write_atomic(self.state.path('nats', name), kind + '\n')

    def nat_kind(self, name: str) -> str:
        """Return the kind of a router now."""
        with open(self.state.path('nats', self.topology.nat(name).name)) as stream:
            return stream.read().strip()

    def start_service(self, host: str, service: str, argv: Argv, env: Optional[Environ] = None,
                      user: Optional[str] = None, cwd: Optional[str] = None) -> None:
        """Start ``argv`` in the background of a host; its output goes to :meth:`log_path`.

        :raises OverlayError: LAB_SERVICE, it runs already; LAB_COMMAND, it cannot be executed.
        """
        if self.service_running(host, service):
            raise OverlayError('The service {} runs already on {}.'.format(service, host), code='LAB_SERVICE')
        process = self.host(host).spawn(argv, self.log_path(host, service), user, env, cwd)
        files.write_atomic(self.state.service_file(host, service),
                           json.dumps({'pid': process.pid, 'start': process.start, 'argv': [str(w) for w in argv]}))

    def service(self, host: str, service: str) -> ProcessHandle:
        """Return the process of a service, alive or not. :raises OverlayError: LAB_SERVICE, it was never started."""
        self.host(host)
        try:
            with open(self.state.service_file(host, service)) as stream:
                data = json.load(stream)
        except FileNotFoundError:
            raise OverlayError('There is no service {} on {}.'.format(service, host), code='LAB_SERVICE')
        return ProcessHandle(data['pid'], data['start'])

    def service_running(self, host: str, service: str) -> bool:
        """Return whether a service runs. :raises UsageError: there is no such host."""
        try:
            return self.service(host, service).alive()
        except UsageError:
            raise
        except OverlayError:
            return False

    def kill_service(self, host: str, service: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process group of a service, without waiting."""
        self.service(host, service).signal_group(number)

    def stop_service(self, host: str, service: str, timeout: float = 10.0) -> bool:
        """Send SIGTERM, and SIGKILL after ``timeout`` seconds, unless the service has ended already.

        :return: whether SIGTERM was enough.
        """
        process = self.service(host, service)
        process.signal_group(signal.SIGTERM)
        gentle = process.wait(timeout)
        if not gentle:
            process.signal_group(signal.SIGKILL)
            process.wait(timeout)
        os.unlink(self.state.service_file(host, service))
        return gentle

    def services(self) -> List[Tuple[str, str]]:
        """Return (host, service) of every service that runs."""
        running = []
        for name in sorted(self.hosts):
            prefix = name + '-'
            for entry in sorted(os.listdir(self.state.path('services'))):
                service = entry[len(prefix):-len('.json')]
                # The host a-b with service c and the host a with service b-c share a prefix: the file must be exact.
                if entry.startswith(prefix) and not any(
                        len(other) > len(name) and entry.startswith(other + '-') for other in self.hosts):
                    if self.service_running(name, service):
                        running.append((name, service))
        return running

    def log_path(self, host: str, service: str) -> str:
        """Return the path of the output of a service."""
        return self.state.log_file(self.host(host).name, service)

    def log(self, host: str, service: str) -> str:
        """Return the output of a service so far."""
        with open(self.log_path(host, service), errors='replace') as stream:
            return stream.read()

    def dns_queries(self) -> List[Tuple[str, str, str]]:
        """Return the queries to the lab's DNS server, oldest first: tuples (type, name, client)."""
        return dns.parse_queries(self.log(INET, dns.SERVICE))

    def serve_control(self) -> ControlServer:
        """Serve :class:`lab_socket.LabControl` inside hosts from a thread of this process, until ``close()``."""
        return ControlServer(self)


def forget_udp(router: Host, timeout: float = FORGET_TIMEOUT, clock: Clock = time.monotonic) -> None:
    """Make a router forget every UDP path.

    :raises OverlayError: LAB_KERNEL, it cannot.
    """
    deadline = clock() + timeout
    while True:
        done = router.run(['conntrack', '-D', '-p', 'udp'], check=False)
        # Status 1 means both that there was none and that it failed; only the former has this text.
        if 'have been deleted' in done.stderr:
            return
        # conntrack lists the paths and deletes them one by one; it gives up at the first that has expired meanwhile.
        if 'such conntrack doesn\'t exist' not in done.stderr or clock() > deadline:
            raise OverlayError('The tracked connections of {} could not be forgotten: {}.'.format(
                router.name, done.stderr.strip()), code='LAB_KERNEL')


def host_specs(topology: Topology, share: Iterable[str], control: str) -> List[JsonObject]:
    """Return the specification of every host for :mod:`ua_overlay.lab.init`. Pure.

    Each is {name, hostname, users: [name], resolver: address, share: [path], control: path, sysctl: {path: text}}.

    :param share: directories of the machine. :param control: directory of the control socket.
    """
    forward = {'/proc/sys/net/ipv4/ip_forward': '1'}
    # A home router's switch does not filter. If it did, a packet that returns to its own sender (a server that calls
    # its own public name) would be bridged, not routed, and be lost.
    router_sysctl = dict(forward, **{'/proc/sys/net/bridge/bridge-nf-call-iptables': '0'})

    everywhere = {CONGESTION_SYSCTL: topology.congestion} if topology.congestion else {}

    def spec(name: str, hostname: str, users: Iterable[str] = (), sysctl: Optional[Dict[str, str]] = None
             ) -> JsonObject:
        return {'name': name, 'hostname': hostname, 'users': list(users), 'resolver': topology.dns,
                'share': list(share), 'control': control, 'sysctl': dict(everywhere, **(sysctl or {}))}

    # The internet forwards but has no route to the world: a packet to the world gets `unreachable` at once.
    specs = [spec(INET, INET, sysctl=forward)]
    specs += [spec(host.name, host.hostname) for host in topology.hosts]
    specs += [spec(router.name, router.name, sysctl=router_sysctl) for router in topology.nats]
    specs += [spec(robot.name, robot.hostname, [topologies.ROBOT_USER]) for robot in topology.robots]
    return specs
