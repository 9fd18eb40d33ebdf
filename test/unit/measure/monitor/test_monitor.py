"""The limits of a monitor, and the start of its rounds."""
import os

import pytest
from paths import CONFIG

from ua_overlay.cli import main
from ua_overlay.measure.campaign import campaign
from ua_overlay.measure.fields import CampaignError
from ua_overlay.measure.monitor import monitor
from unit.measure.monitor.days import TEXT, plan_of


def test_share_of_the_link():
    plan = plan_of()
    # 5 Mbit/s for 4 s of 300 s, with WireGuard's headers, and eleven small packets.
    assert plan.share == pytest.approx(100 * (5e6 * 4 / 0.8911 + 8 * 11 * (56 + 28 + 98)) / 300 / 20e6, rel=1e-3)
    assert plan.seconds == pytest.approx(5.5 + 4 + 2 * 2.0)
    assert plan.campaign.scenarios[0].link_timeout == monitor.LINK_TIMEOUT


@pytest.mark.parametrize('before, after, part', [
    ('monitor: {capacity: 20mbit, interval: 300}', '', 'has no section `monitor`'),
    ('capacity: 20mbit, ', '', 'capacity is missing'),
    ('interval: 300', 'interval: 1', 'monitor.interval: 1'),
    ('interval: 300', 'share: 11', 'monitor.share: 11'),
    ('interval: 300', 'interval: 12', 'a round takes 14 s'),
    ('interval: 300', 'interval: 60', 'would take 1.87 % of the link on average, and 1 % are allowed: set `interval`'),
    (', rate: 5mbit', '', 'tools.tcp.rate is missing'),
    ('{count: 10, interval: 0.5}', '{tool: ros-video}', 'tools.ping: ros-video would saturate the link'),
    ('rate: 5mbit', 'rate: 9mbit', 'tools.tcp would take 50.5 % of the link while it runs')])
def test_a_plan_above_the_limit_is_refused(before, after, part, tmp_path, capsys):
    assert before in TEXT
    path = tmp_path / 'monitor.yaml'
    path.write_text(TEXT.replace(before, after))
    assert main(['measure', 'monitor', str(path), '--rounds', '1', '--results', str(tmp_path / 'results')]) == 2
    assert part in capsys.readouterr().err and not (tmp_path / 'results').exists()


def test_the_suggested_interval_is_accepted():
    with pytest.raises(CampaignError) as caught:
        plan_of(TEXT.replace('interval: 300', 'interval: 60'))
    interval = caught.value.sentence.split('`interval` to ')[1].split(' ')[0]
    assert plan_of(TEXT.replace('interval: 300', 'interval: ' + interval)).share <= 1


def test_the_example_is_within_its_limits():
    assert monitor.checked(campaign.load(os.path.join(CONFIG, 'campaigns', 'monitor.yaml'))).share < 1


def test_late_rounds_are_skipped():
    assert [monitor.next_round(100.0, 60.0, now) for now in (100.0, 110.0, 159.9, 160.0, 300.0)] == [
        160.0, 160.0, 160.0, 220.0, 340.0]


def test_rounds_are_numbered_by_their_start():
    assert {step.repetition for step in plan_of().steps(1767225600.9)} == {1767225600}
