"""The table of checks, its page, and a whole run."""
import os
import re

from paths import ROOT

from ua_overlay.checks import table
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Finding, Verdict
from unit.checks.healthy import FACTS

#: Ids are for scripts and issue reports: one may be added, none may be renamed or removed.
PROMISED = ('daemon', 'login', 'key-expiry', 'server', 'certificate', 'clock', 'address-range', 'names', 'environment',
            'master', 'ports-out', 'ports-in', 'node-names', 'half-connected', 'old-master', 'link-derp', 'link-lan',
            'mtu', 'foreign-master')


def test_ids_are_stable_and_unique():
    assert set(PROMISED) <= set(table.IDS) and len(set(table.IDS)) == len(table.IDS)
    assert all(re.match('[a-z]+(-[a-z]+)*$', each) for each in table.IDS)
    assert {check.group for check in table.CHECKS} == set(table.GROUPS)


def test_the_page_contains_the_table():
    with open(os.path.join(ROOT, 'docs', 'checks.md'), encoding='utf-8') as stream:
        page = stream.read()
    assert table.markdown() in page, 'docs/checks.md needs this table:\n' + table.markdown()


def test_a_healthy_robot_has_no_finding():
    findings = table.run_checks(FACTS)
    assert {finding.level for finding in findings} == {'OK'}
    assert tuple(finding.id for finding in findings) == table.IDS


def test_without_facts_there_is_no_finding():
    assert table.run_checks(Facts()) == ()


def test_a_check_may_have_several_findings():
    check = table.Check('two', 'links', lambda facts: [Verdict('OK', 'a'), Verdict('WARN', 'b', 'c', 'd')], '', '')
    assert table.run_checks(FACTS, [check]) == (Finding('two', 'OK', 'a'), Finding('two', 'WARN', 'b', 'c', 'd'))


def test_groups():
    assert [finding.id for finding in table.run_group(FACTS, 'server')] == [
        'server', 'registered', 'remembered-team', 'duplicate-identity', 'certificate', 'clock']


def test_headline():
    findings = [Finding('a', 'OK', ''), Finding('b', 'ERROR', ''), Finding('c', 'WARN', ''), Finding('d', 'ERROR', '')]
    assert table.headline(findings).id == 'b'
    assert table.headline([]) is None
