"""The pins of the repository, and the versions on the PATH that are acceptable."""
import os

import pytest
from paths import ROOT

from ua_overlay.resources import share_path
from ua_overlay.system.version import parse_version
from ua_overlay.toolchain.pins import (
    CEILING,
    MINIMUM,
    MODULES,
    TESTED,
    Pin,
    acceptable,
    module_of,
    parse_go_mod,
    read_pin,
)

ONE = 'module x\n\ngo 1.26.5\n\ntool github.com/juanfont/headscale/cmd/headscale\n\nrequire (\n' \
      '\tgithub.com/juanfont/headscale v0.29.3 // indirect\n\tgolang.org/x/sys v0.1.0\n)\n'
TWO = 'module x\n\ngo 1.26.5\n\ntool (\n\ttailscale.com/cmd/tailscale\n\ttailscale.com/cmd/tailscaled\n)\n\n' \
      'require tailscale.com v1.98.10\n'


def test_parse_go_mod():
    assert parse_go_mod(ONE, 'headscale') == Pin(
        'headscale', '0.29.3', ('github.com/juanfont/headscale/cmd/headscale',), '1.26.5')
    assert parse_go_mod(TWO, 'tailscale') == Pin(
        'tailscale', '1.98.10', ('tailscale.com/cmd/tailscale', 'tailscale.com/cmd/tailscaled'), '1.26.5')


def test_the_version_is_that_of_the_program_s_module():
    text = ONE.replace('require (', 'require (\n\tgithub.com/juanfont/head v9.9.9')
    assert parse_go_mod(text, 'headscale').version == '0.29.3'


@pytest.mark.parametrize('text', [
    '', ONE.replace('tool ', '// tool '), ONE.replace('headscale v0.29.3', 'other v0.29.3'),
    ONE.replace('go 1.26.5', '')])
def test_a_go_mod_without_pins(text):
    with pytest.raises(ValueError, match='toolchain/m/go.mod'):
        parse_go_mod(text, 'm')


@pytest.mark.parametrize('module', sorted({*MODULES, *TESTED}))
def test_pins_of_the_repository(module):
    pin = read_pin(share_path('toolchain'), module)
    program = 'headscale' if module == 'headscale' else 'tailscaled'
    assert program in [package.rsplit('/', 1)[1] for package in pin.packages]
    # What is built must be good enough to be used.
    assert acceptable(program, parse_version(pin.version))
    assert os.path.isfile(share_path('toolchain', module, 'go.sum'))


def test_the_tests_run_every_minor_version_since_the_minimum():
    versions = [parse_version(read_pin(share_path('toolchain'), module).version) for module in TESTED]
    assert versions == sorted(versions) and TESTED[-1] == module_of('tailscaled')
    assert versions[0][:2] == MINIMUM['tailscaled'][0][:2]
    # Tailscale's stable minor versions are even.
    assert [minor for _, minor, _ in versions] == list(range(versions[0][1], versions[-1][1] + 1, 2))
    for module, version in zip(TESTED[:-1], versions):
        assert module == 'tailscale-{}.{}'.format(*version)


def test_the_page_for_administrators_has_the_tested_versions():
    source = share_path('toolchain')
    older = '.'.join(map(str, CEILING['headscale']))
    rows = ['| {} | {} | {} and newer{} |'.format(
        program, ', '.join(read_pin(source, module).version for module in modules),
        '.'.join(map(str, MINIMUM[program][0])), more)
        for program, modules, more in (('tailscaled', TESTED, ''), ('headscale', ('headscale',), ', before ' + older))]
    with open(os.path.join(ROOT, 'docs', 'operate.md'), encoding='utf-8') as stream:
        assert '\n'.join(rows) in stream.read(), 'The rows are stale. They would be:\n' + '\n'.join(rows)


@pytest.mark.parametrize('program, version, wanted', [
    ('tailscaled', (1, 98, 9), True), ('tailscaled', (1, 98, 8), False), ('tailscaled', (2, 0, 0), True),
    ('tailscale', (1, 98, 9), True), ('headscale', (0, 29, 2), True), ('headscale', (0, 29, 1), False),
    ('headscale', (0, 29, 99), True), ('headscale', (0, 30, 0), False), ('headscale', None, False)])
def test_acceptable_versions(program, version, wanted):
    assert acceptable(program, version) is wanted


def test_module_of_a_program():
    assert [module_of(program) for program in ('tailscale', 'tailscaled', 'headscale')] == [
        'tailscale', 'tailscale', 'headscale']
    assert set(CEILING) < set(MINIMUM) and all(why for _, why in MINIMUM.values())
