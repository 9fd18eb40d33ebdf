"""The role's defaults are those of the package, and its documentation states the same ones."""
import os

import pytest
import yaml
from paths import ROOT

from ua_overlay import defaults

ROLE = os.path.join(ROOT, 'ansible', 'roles', 'ua_overlay')


def load(*parts):
    with open(os.path.join(ROLE, *parts), encoding='utf-8') as stream:
        return yaml.safe_load(stream)


VALUES = load('defaults', 'main.yml')
OPTIONS = sorted((entry, name, option['default'])
                 for entry, specification in load('meta', 'argument_specs.yml')['argument_specs'].items()
                 for name, option in specification['options'].items() if 'default' in option)


@pytest.mark.parametrize('name, value', [
    ('server_port', defaults.SERVER_PORT), ('server_stun_port', defaults.STUN_PORT),
    ('server_relay_port', defaults.RELAY_PORT), ('relay_port', defaults.RELAY_PORT),
    ('derp_port', defaults.DERP_PORT), ('derp_stun_port', defaults.STUN_PORT), ('team_port', defaults.TEAM_PORT),
    ('site_directory', defaults.SITE_DIR)])
def test_role_defaults_match_the_package(name, value):
    assert VALUES['ua_overlay_' + name] == value


@pytest.mark.parametrize('entry, name, default', OPTIONS)
def test_documented_defaults_match_the_role(entry, name, default):
    assert VALUES[name] == default


def test_there_are_documented_defaults():
    assert len(OPTIONS) > 20
