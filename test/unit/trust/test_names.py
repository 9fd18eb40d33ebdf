"""Names of teams, robots and servers."""
import pytest

from ua_overlay.errors import UsageError
from ua_overlay.trust import names


@pytest.mark.parametrize('name', ['iris', 'a', 'team-2', 'x' * 63])
def test_valid_labels(name):
    assert names.check_team(name) == name
    assert names.check_robot(name) == name


@pytest.mark.parametrize('name', ['', 'Iris', 'team_a', '-iris', 'iris-', '2fast', 'x' * 64, 'a.b', 'é', 'iris\n',
                                  'a b'])
@pytest.mark.parametrize('check', [names.check_team, names.check_robot])
def test_an_invalid_label_is_refused_with_a_suggestion(check, name):
    with pytest.raises(UsageError) as caught:
        check(name)
    assert check(caught.value.next_command.split()[-1])


@pytest.mark.parametrize('name', ['relay', 'ros-master', 'user', 'server'])
def test_reserved_teams(name):
    with pytest.raises(UsageError, match='reserved'):
        names.check_team(name)


@pytest.mark.parametrize('name', ['localhost', 'relay'])
def test_reserved_robots(name):
    with pytest.raises(UsageError, match='reserved'):
        names.check_robot(name)


def test_the_suggestion_is_the_nearest_valid_name():
    with pytest.raises(UsageError) as caught:
        names.check_robot('Dev_1')
    assert caught.value.next_command == 'ua-overlay invite TEAM dev-1'


@pytest.mark.parametrize('name', ['server.ua.test', '3com.example.org', 'localhost', 'Server.UA.test'])
def test_server_names(name):
    assert names.check_server_name(name) == name.lower()


@pytest.mark.parametrize('name', ['203.0.113.10', '::1', '[::1]', 'https://server.ua.test', 'server.ua.test:8080',
                                  'a..b', 'server.ua.test.', '', '*.ua.test', 'a.1', '.'.join(['x' * 60] * 5),
                                  'ser ver.test'])
def test_an_invalid_server_name(name):
    with pytest.raises(UsageError):
        names.check_server_name(name)


@pytest.mark.parametrize('text, address', [('203.0.113.10', '203.0.113.10'), ('2001:DB8::1', '2001:db8::1')])
def test_addresses(text, address):
    assert names.check_address(text) == address


@pytest.mark.parametrize('text', ['203.0.113.0/24', '203.0.113.10:80', 'server', '', '203.0.113'])
def test_an_invalid_address(text):
    with pytest.raises(UsageError):
        names.check_address(text)


def test_a_server_url_is_split():
    assert names.parse_server_url('https://server.ua.test:8080') == ('server.ua.test', 8080)
    assert names.parse_server_url('https://Server.UA.test/') == ('server.ua.test', 443)


@pytest.mark.parametrize('url, reason', [
    ('http://server.ua.test', 'https'),
    ('server.ua.test:8080', 'https'),
    ('https://203.0.113.10:8080', 'DNS name'),
    ('https://[2001:db8::1]:8080', 'DNS name'),
    ('https://server.ua.test/key?v=1', 'after the host'),
    ('https://server.ua.test:99999', 'not a URL'),
    ('https://server.ua.test:0', 'port 0'),
    ('https://:8080', 'no host'),
    ('https://[::1', 'not a URL'),
    ('https://bad_name.test', 'DNS'),
    ('', 'https'),
])
def test_invalid_server_urls(url, reason):
    with pytest.raises(ValueError, match=reason):
        names.parse_server_url(url)


def test_a_password_in_a_url_is_not_shown():
    with pytest.raises(ValueError) as caught:
        names.parse_server_url('https://user:hunter2@server.ua.test')
    assert 'hunter2' not in str(caught.value)
