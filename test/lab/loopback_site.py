"""A real headscale and real tailscaleds on this machine's loopback: no namespaces, no root needed.

The server is `localhost` with a certificate of a throw-away CA (a private CA is what the package is about, and the
embedded DERP server needs TLS). The tailscaleds have no TUN device. For tests only.
"""
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import urllib.request

import keep
from releases import tailscaled

from ua_overlay.lab.wait import wait
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import parse_status
from ua_overlay.toolchain import locate

CONFIG = '''\
server_url: https://localhost:{port}
listen_addr: 127.0.0.1:{port}
metrics_listen_addr: ""
grpc_listen_addr: 127.0.0.1:{grpc}
noise: {{private_key_path: {dir}/noise.key}}
prefixes: {{v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48", allocation: sequential}}
derp:
  server: {{enabled: true, region_id: 999, region_code: site, region_name: site, verify_clients: true,
    stun_listen_addr: "127.0.0.1:{stun}", private_key_path: {dir}/derp.key,
    automatically_add_embedded_derp_region: true, ipv4: 127.0.0.1}}
  urls: []
  paths: []
disable_check_updates: true
database: {{type: sqlite, sqlite: {{path: {dir}/db.sqlite, write_ahead_log: true}}}}
tls_cert_path: {dir}/server.pem
tls_key_path: {dir}/server.key
log: {{level: info, format: text}}
policy: {{mode: file, path: {dir}/policy.json}}
dns: {{magic_dns: true, base_domain: overlay.internal, override_local_dns: false, nameservers: {{global: []}}}}
unix_socket: {dir}/hs.sock
unix_socket_permission: "0700"
logtail: {{enabled: false}}
taildrop: {{enabled: false}}
'''

POLICY = {
    'tagOwners': {'tag:iris': [], 'tag:blue': [], 'tag:ros-master': [], 'tag:relay': []},
    'grants': [{'src': ['tag:iris'], 'dst': ['tag:iris'], 'ip': ['*']},
               {'src': ['tag:blue'], 'dst': ['tag:blue'], 'ip': ['*']},
               {'src': ['tag:iris'], 'dst': ['tag:relay'], 'app': {'tailscale.com/cap/relay': [{}]}}],
    'nodeAttrs': [{'target': ['*'], 'attr': ['disable-captive-portal-detection']}],
}


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class LoopbackSite:
    """``with LoopbackSite() as site:`` one server; `site.daemon(name)` starts a robot's tailscaled."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='ua-loopback-')
        os.chmod(self.dir, 0o755)
        self.port, self.grpc, self.stun = free_port(), free_port(), free_port(socket.SOCK_DGRAM)
        self.url = 'https://localhost:{}'.format(self.port)
        self.ca = os.path.join(self.dir, 'ca.pem')
        self.daemons = []
        self._server = None
        keep.add(os.path.basename(self.dir), lambda: keep.of_folder(self.dir))

    def __enter__(self):
        try:
            self._make_certificates()
            with open(self._path('config.yaml'), 'w') as stream:
                stream.write(CONFIG.format(dir=self.dir, port=self.port, grpc=self.grpc, stun=self.stun))
            with open(self._path('policy.json'), 'w') as stream:
                json.dump(POLICY, stream)
            self.start_server()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info):
        for daemon in self.daemons:
            daemon.kill()
        self.kill_server()
        keep.drop(os.path.basename(self.dir))
        shutil.rmtree(self.dir)

    def start_server(self):
        with open(self._path('headscale.log'), 'ab') as log:
            self._server = subprocess.Popen([locate('headscale'), 'serve', '-c', self._path('config.yaml')],
                                            stdout=log, stderr=log)
        wait('headscale answers /health', self._healthy)

    def kill_server(self):
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def headscale(self, *arguments):
        """Run the headscale command and return what it prints as JSON."""
        done = subprocess.run([locate('headscale'), '-c', self._path('config.yaml'), '-o', 'json'] + list(arguments),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        if done.returncode != 0:
            raise AssertionError('headscale {}: {}'.format(arguments, done.stderr.decode()))
        return json.loads(done.stdout or b'null')

    def key(self, *tags, expiration='1h'):
        return self.headscale('preauthkeys', 'create', '--tags', ','.join(tags or ('tag:iris',)),
                              '--expiration', expiration)['key']

    def nodes(self):
        return self.headscale('nodes', 'list') or []

    def daemon(self, name, module='tailscale', uid=None, env=None, argv=None):
        """Start a tailscaled of one of releases.RELEASES, or by the command line ``argv``."""
        daemon = Daemon(self, name, module, uid, env or {}, argv)
        self.daemons.append(daemon)
        daemon.start()
        return daemon

    def _path(self, name):
        return os.path.join(self.dir, name)

    def _healthy(self):
        if self._server.poll() is not None:
            with open(self._path('headscale.log')) as log:
                raise AssertionError('headscale ended: ' + log.read()[-2000:])
        try:
            context = ssl.create_default_context(cafile=self.ca)
            with urllib.request.urlopen(self.url + '/health', timeout=2, context=context) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _make_certificates(self):
        def openssl(*arguments):
            subprocess.run(('openssl',) + arguments, check=True, cwd=self.dir, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        curve = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes')
        openssl('req', '-x509', *curve, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=test CA')
        openssl('req', *curve, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=localhost')
        with open(self._path('san'), 'w') as stream:
            stream.write('subjectAltName=DNS:localhost,IP:127.0.0.1\n')
        openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial',
                '-days', '1', '-extfile', 'san', '-out', 'server.pem')


class Daemon:
    """One tailscaled without a TUN device; ``api`` is a LocalApi on its socket."""

    def __init__(self, site, name, module, uid, env, argv=None):
        self.site, self.name, self.module, self.uid, self._env, self._argv = site, name, module, uid, env, argv
        self.dir = os.path.join(site.dir, name)
        os.mkdir(self.dir)
        if uid is not None:
            os.chown(self.dir, uid, uid)
        self.socket = os.path.join(self.dir, 'sock')
        self.log = os.path.join(self.dir, 'log')
        self.api = LocalApi(self.socket, timeout=10)
        self.process = None

    def start(self, module=None):
        environment = dict(os.environ, SSL_CERT_FILE=self.site.ca, TS_NO_LOGS_NO_SUPPORT='true',
                           TS_PANIC_IF_HIT_MAIN_CONTROL='true', HOME=self.dir)
        environment.update(self._env)
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                (self._argv or [tailscaled(module or self.module)]) + [
                    '--tun=userspace-networking', '--port=0', '--statedir=' + self.dir,
                    '--state=' + os.path.join(self.dir, 'state'), '--socket=' + self.socket],
                stdout=log, stderr=log, env=environment, start_new_session=True)
        wait('tailscaled {} listens'.format(self.name), lambda: os.path.exists(self.socket) and self._answers())

    def kill(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def status(self):
        return parse_status(self.api.status())

    def join(self, key, operator='', **prefs):
        """Join as the package does, and wait until the overlay knows it."""
        self.begin_join(key, operator, **prefs)
        return wait('{} is online'.format(self.name), self.online)

    def begin_join(self, key, operator='', **prefs):
        """Join without waiting; `online` tells when it is done."""
        self.api.start(key, dict({'ControlURL': self.site.url, 'Hostname': self.name, 'WantRunning': True,
                                  'CorpDNS': True, 'OperatorUser': operator, 'NetfilterMode': 0}, **prefs))
        self.api.login_interactive()

    def online(self):
        status = self.status()
        return status if status.state == 'Running' and status.self_node.online else None

    def _answers(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise AssertionError('tailscaled ended: ' + log.read()[-2000:])
        try:
            return self.api.status(peers=False)
        except Exception as error:  # not there yet; the deadline of wait_for says so when it never comes
            self.last_error = error
            return None
