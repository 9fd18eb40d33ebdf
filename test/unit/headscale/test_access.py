"""Opening Headscale's REST interface with the key in the site's directory, or with a new one."""
import os
import stat
import subprocess
from types import SimpleNamespace

import pytest

from ua_overlay.headscale import access
from ua_overlay.headscale.rest import RestError, ServerDenied, ServerDown

KEY = 'hskey-api-' + 'x' * 64


@pytest.fixture
def site(server, trust, tmp_path):
    server.answers.update({'/health': (200, '{"status":"pass"}'), '/api/v1/policy': (200, '{"policy":"{}"}')})
    return SimpleNamespace(
        settings=SimpleNamespace(name='server.ua.test', port=server.server_address[1]), ca_file=trust.ca_path,
        api_key_file=str(tmp_path / 'api.key'), config_file='/site/headscale.yaml',
        path=lambda *parts: '/site/' + '/'.join(parts), command=lambda text: 'ua-overlay ' + text,
        start_command=lambda: 'ua-overlay server run')


class Headscale:
    """Plays the program: prints ``output`` and ends with ``status``."""

    def __init__(self, output='a new version is out\n' + KEY + '\n', status=0):
        self.output, self.status, self.runs = output, status, []

    def __call__(self, argv, **_options):
        self.runs.append(argv)
        return subprocess.CompletedProcess(argv, self.status, self.output, '')


def test_the_first_key_is_created_stored_and_reused(site, server):
    headscale = Headscale()
    access.connect(site, lambda: '/bin/headscale', headscale).policy()
    assert headscale.runs == [['/bin/headscale', '--config', '/site/headscale.yaml', 'apikeys', 'create',
                               '--expiration', '90d']]
    assert stat.S_IMODE(os.stat(site.api_key_file).st_mode) == 0o600
    access.connect(site, lambda: '/bin/headscale', headscale).policy()
    assert len(headscale.runs) == 1
    assert [request[2] for request in server.requests if request[1] == '/api/v1/policy'] == ['Bearer ' + KEY] * 2


def test_a_refused_key_is_replaced_at_the_first_call(site, server):
    with open(site.api_key_file, 'w') as stream:
        stream.write('hskey-api-old\n')
    headscale = Headscale()

    def answer(argv, **options):
        server.answers['/api/v1/policy'] = (200, '{"policy":"{}"}')
        return headscale(argv, **options)

    server.answers['/api/v1/policy'] = (401, 'Unauthorized')
    client = access.connect(site, lambda: '/bin/headscale', answer)
    assert headscale.runs == [] and server.requests == []
    assert client.policy() == '{}' and client.policy() == '{}'
    assert len(headscale.runs) == 1
    with open(site.api_key_file) as stream:
        assert stream.read() == KEY + '\n'
    assert [request[2] for request in server.requests] == ['Bearer hskey-api-old'] + ['Bearer ' + KEY] * 2


def test_a_second_refusal_is_an_error(site, server):
    with open(site.api_key_file, 'w') as stream:
        stream.write('hskey-api-old\n')
    server.answers['/api/v1/policy'] = (401, 'Unauthorized')
    headscale = Headscale()
    client = access.connect(site, lambda: '/bin/headscale', headscale)
    for _ in range(2):
        with pytest.raises(ServerDenied):
            client.policy()
    assert len(headscale.runs) == 1


def test_a_server_that_is_down_is_not_asked_for_a_key(site):
    site.settings.port = 1
    headscale = Headscale()
    with pytest.raises(ServerDown, match='does not answer') as caught:
        access.connect(site, lambda: '/bin/headscale', headscale)
    assert caught.value.next_command == 'ua-overlay server run' and headscale.runs == []


@pytest.mark.parametrize('output, status', [('', 0), (KEY + '\n', 1), ('secret of another kind\n', 0)])
def test_output_without_a_key_is_not_quoted(site, output, status):
    with pytest.raises(RestError, match='made no API key .exit status {}'.format(status)) as caught:
        access.make_api_key(site, '/bin/headscale', Headscale(output, status))
    assert 'secret' not in str(caught.value) and KEY not in str(caught.value)
    assert not os.path.exists(site.api_key_file)
