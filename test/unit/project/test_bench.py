"""The arithmetic of bench/: quantiles, ratios, and which message belongs to which change."""
import json
import os
import sys
from dataclasses import replace

import pytest
from paths import ROOT

sys.path.insert(0, os.path.join(ROOT, 'bench'))

import harmless_links  # noqa: E402
import link_cost  # noqa: E402
import link_healing  # noqa: E402
import many_links  # noqa: E402
import relay_failover  # noqa: E402
import setup_lab  # noqa: E402
import team_moves  # noqa: E402
import team_reboot  # noqa: E402
import topic_gap  # noqa: E402
from figure import Figure, Row, as_dict, number, quantile, ratio, render, verdict  # noqa: E402
from link_latency import lasting, match, without_short  # noqa: E402

from ua_overlay.lab.topology import parse  # noqa: E402
from ua_overlay.measure.campaign.sample import Sample  # noqa: E402


def change_of(time, kind, peer='dev-2', endpoint=''):
    return {'time': time, 'peer': peer, 'path': [kind, endpoint, '']}


@pytest.mark.parametrize('share, value', [(0, 1), (0.5, 3), (0.95, 4.8), (1, 5)])
def test_quantile(share, value):
    # numpy.quantile([1, 2, 3, 4, 5], share) says the same.
    assert quantile([5, 3, 1, 4, 2], share) == pytest.approx(value)


def test_no_values_have_no_quantile():
    with pytest.raises(ValueError):
        quantile([], 0.5)


@pytest.mark.parametrize('value, text', [(None, ''), (0, '0'), (0.12345, '0.123'), (1.2345, '1.23'), (123.45, '123'),
                                         (4567.8, '4568'), (-0.0151, '-0.0151')])
def test_number(value, text):
    assert number(value) == text


def test_ratio_and_table():
    figure = Figure('x', 'things', 's', [Row('slow', [2.0, 4.0, 3.0], 'fast'), Row('fast', [1.0, 2.0]),
                                         Row('none', [], 'fast')])
    assert ratio(figure, figure.row('slow')) == 2.0
    assert ratio(figure, figure.row('fast')) is ratio(figure, figure.row('none')) is None
    line = next(line for line in render(figure).splitlines() if line.startswith('slow'))
    assert line.split() == ['slow', 's', '3', '3.00', '3.90', '2.00', 'fast']
    assert as_dict(figure)['rows'][0]['values'] == [2.0, 4.0, 3.0] and as_dict(figure)['rows'][2]['median'] is None


def test_verdict():
    assert verdict('it', 1.1, 1.1, ' s').endswith('reached') and verdict('it', 1.2, 1.1, ' s').endswith('MISSED')


def test_a_message_belongs_to_its_own_change():
    changes = [change_of(10.0, 'DERP'), change_of(10.0, 'DERP', 'dev-3'), change_of(12.0, 'DIRECT'),
               change_of(20.0, 'DERP')]
    messages = [change_of(9.98, 'DERP', 'dev-3'), change_of(10.1, 'DERP'), change_of(12.2, 'DIRECT', endpoint='a'),
                change_of(20.05, 'DERP')]
    pairs, lost = match(changes, messages, 1)
    assert [round(message['time'] - change['time'], 2) for change, message in pairs] == [0.1, -0.02, 0.2, 0.05]
    assert lost == []


def test_a_change_without_a_message_is_counted():
    changes = [change_of(10.0, 'DERP'), change_of(10.3, 'DIRECT'), change_of(12.0, 'DERP')]
    pairs, lost = match(changes, [change_of(12.1, 'DERP')], 1)
    # The message came 2.1 s after the first change, but the link was DIRECT in between: it is about the last one.
    assert lost == changes[:2] and [change['time'] for change, _ in pairs] == [12.0]


def test_duration_of_a_change():
    changes = [change_of(1.0, 'DERP'), change_of(1.5, 'DERP', 'dev-3'), change_of(3.0, 'DIRECT')]
    assert lasting(changes) == [2.0, float('inf'), float('inf')]


def test_a_flicker_is_no_change():
    changes = [dict(change_of(1.0, 'IDLE'), before='D'), dict(change_of(1.1, 'DIRECT'), before='I'),
               dict(change_of(5.0, 'DERP'), before='D'), dict(change_of(5.1, 'PEER_RELAY'), before='E'),
               dict(change_of(5.2, 'IDLE', 'dev-3'), before='D')]
    for change in changes:
        change['before'] = [{'D': 'DIRECT', 'I': 'IDLE', 'E': 'DERP'}[change['before']], '', '']
    kept = without_short(changes)
    assert [(change['peer'], change['before'][0], change['path'][0]) for change in kept] == [
        ('dev-2', 'DIRECT', 'PEER_RELAY'), ('dev-3', 'DIRECT', 'IDLE')]


def test_the_team_figure_reads_shares_from_the_rows():
    values = {team_moves.FIRST_JOIN: [2.5, 3.5], team_moves.JOIN: [1.0], team_moves.MOVE: [12.0, 8.0, 9.0],
              team_moves.MOVE_HEARD: [12.5], team_moves.REQUEST: [0.1], team_moves.KILL: [9.0],
              team_moves.RESTART: [6.0]}
    for what, stages in (('join ', team_moves.JOIN_STAGES), ('move ', team_moves.MOVE_STAGES),
                         ('kill ', team_moves.RESTART_STAGES)):
        values.update({what + stage: [0.5] for stage, _label in stages})
    for shell in team_moves.SETUPS:
        values.update({(shell, 'with'): [104.0], (shell, 'without'): [100.0], (shell, 'with', 'cpu'): [52.0],
                       (shell, 'without', 'cpu'): [50.0], (shell, 'alone'): [3.0]})
    figure = team_moves.figure(values)
    verdicts = [aim.rpartition(' ')[2] for aim in figure.aims]
    assert verdicts == ['reached', 'reached', 'reached', 'MISSED'] + ['reached'] * 3
    assert 'in zsh (CPU time 2 ms, alone 3 ms): 4 ms, aim 5 ms' in figure.aims[-1]
    assert len({row.label for row in figure.rows if row.compare}) == 3 and 'bash with cpu' in figure.raw
    assert json.loads(json.dumps(as_dict(figure)))['raw']['move started'] == [0.5]


def test_every_robot_of_a_lab_has_its_own_nat():
    made = parse(setup_lab.topology(['dev-1', 'dev-6']))
    assert [(robot.name, robot.behind) for robot in made.robots] == [('dev-1', 'nat1'), ('dev-6', 'nat6')]
    assert [(nat.name, nat.address) for nat in made.nats] == [('nat1', '203.0.113.21'), ('nat6', '203.0.113.26')]


def test_the_failover_figure_shows_which_targets_are_met():
    values = {label: [0.1, 0.2] for label in relay_failover.LABELS}
    values[relay_failover.RELAY_GAP] = [11.0, 12.0]
    made = relay_failover.figure(values)
    assert 'MISSED' in made.aims[0] and all('reached' in aim for aim in made.aims[1:])
    assert render(made)


def cost_sample(scenario, tool, path, repetition, **values):
    return Sample(id='+'.join((scenario, tool, path, str(repetition))), campaign='links', scenario=scenario, place='',
                  source='a', target='b', path=path, expected='', repetition=repetition,
                  started='2026-01-31T12:00:00.000Z', tool=tool, status='ok', values=values)


def test_the_losses_figure_compares_proven_medians():
    samples = [cost_sample('direct', 'iperf3-tcp', path, number, bps=bps) for path, rates in (
        ('raw', (94e6, 94e6, 90e6)), ('overlay', (88e6, 40e6, 89e6))) for number, bps in enumerate(rates, 1)]
    samples += [cost_sample('direct', 'ping', path, 1, rtt_ms=[trip, trip, 99.0]) for path, trip in (
        ('raw', 20.0), ('overlay', 22.0))]
    samples += [cost_sample('relay', 'iperf3-udp', 'overlay', 1, lost_percent=0.0),
                cost_sample('relay-cable', 'iperf3-tcp', 'overlay', 1, bps=800e6),
                cost_sample('derp-cable', 'iperf3-tcp', 'overlay', 1, bps=110e6)]
    samples.append(replace(cost_sample('direct', 'iperf3-tcp', 'overlay', 9, bps=1.0), status='excluded',
                           problem='by DERP'))
    made = link_cost.figure(samples)
    assert made.row('direct, TCP, overlay').values == [88.0, 40.0, 89.0]
    assert ratio(made, made.row('direct, TCP, overlay')) == pytest.approx(88 / 94)
    assert made.aims == [
        'TCP loss on DIRECT: 6.38 %, aim 6.5 %: reached', 'round trip added by DIRECT: 2 ms, aim 1 ms: MISSED',
        'UDP lost at half the capacity on PEER_RELAY: 0 %, aim 0 %: reached',
        'PEER_RELAY carries 7.3 times what DERP does where no link limits it, aim 8: MISSED']
    assert any('direct+iperf3-tcp+overlay+9: by DERP' in note for note in made.notes)


def test_the_gaps_figure_shows_which_targets_are_met():
    values = {(link, event): [0.1, 0.2] for link in topic_gap.LINKS
              for event in (topic_gap.QUIET, topic_gap.RENEW, topic_gap.RESTART, topic_gap.LOST)}
    values[topic_gap.OWN_RELAY, topic_gap.RESTART] = [0.1, 6.7]
    values[topic_gap.EMBEDDED, topic_gap.RENEW] = [0.7, 3.0]
    made = topic_gap.figure(values)
    missed = [aim for aim in made.aims if 'MISSED' in aim]
    assert len(made.aims) == 10 and missed == [
        "server restarted, worst gap on PEER_RELAY, the server's own: 6.7 s, aim 0.5 s: MISSED"]
    assert render(made)


def test_the_gap_of_a_topic():
    text = 'a word of rospy\n7 10.000\n8 10.100\n10 13.100\n11 13.200\n'
    messages = topic_gap.arrivals(text)
    assert messages == [(7, 10.0), (8, 10.1), (10, 13.1), (11, 13.2)] and topic_gap.lost(messages) == 1
    # A gap counts that began before or ended after.
    assert topic_gap.longest(messages, 11, 12) == pytest.approx(3.0)
    assert topic_gap.longest(messages, 13.15, 14) == pytest.approx(0.1)
    assert topic_gap.steady(messages, 13.4) == pytest.approx(0.3) and topic_gap.steady(messages, 13.8) == 0
    assert topic_gap.steady(messages[:2], 10.3) == pytest.approx(0.3) and topic_gap.steady([], 1) == 0
    # Nothing came at all.
    assert topic_gap.longest([], 1, 5) == 4 and topic_gap.lost([]) == 0


def ping_output(*times):
    return ''.join('[{:.6f}] 64 bytes from 100.64.0.2: icmp_seq=1 ttl=64 time=1 ms\n'.format(each) for each in times)


def test_the_gap_of_a_ping():
    text = ping_output(10.0, 10.1, 10.2, 13.2, 13.3)
    assert many_links.longest(text, 11.0, 13.4) == pytest.approx(3.0)
    assert many_links.longest(text, 13.25, 13.4) == pytest.approx(0.1)
    # A gap that is still open counts, and so does one that was never filled.
    assert many_links.longest(text, 13.25, 20.0) == pytest.approx(6.7) and many_links.longest('', 5.0, 7.0) == 2.0
    assert many_links.steady(text, 13.4) == pytest.approx(0.2) and many_links.steady(text, 14.0) == 0.0
    assert many_links.steady(ping_output(1.0, 1.1, 1.2), 1.3) == pytest.approx(0.3) and many_links.steady('', 1.0) == 0


def test_the_heal_figure_shows_which_targets_are_met():
    values = {}
    for fault in link_healing.FAULTS:
        for stream in (link_healing.PING, link_healing.TOPIC):
            values.update({(fault, True, stream): [0.9, 1.0], (fault, False, stream): [5.0]})
    values[link_healing.HARD, True, link_healing.TOPIC] = [1.2, 1.6]
    values[link_healing.TO_RELAY, True, link_healing.PING] = [1.5, 6.0]
    values[link_healing.TO_DIRECT, True, link_healing.PING] = [4.0]
    many = {(2, True): [0.1, 0.3], (2, False): [0.1]}
    many.update({many_links.cost_label(kind, heal): [0.4] for kind in ('idle', 'active') for heal in (True, False)})
    harmless = {('simulated', '1 % loss'): [0, 0], ('real', '1 % loss'): [1]}
    made = link_healing.figure(values, harmless, many, 10.0)
    missed = [aim.partition(': ')[0] for aim in made.aims if 'MISSED' in aim]
    assert missed == [
        'NAT turned hard, topic, median', 'NAT turned hard, topic, 95th percentile',
    ] + ['{}, {}, {}'.format(link_healing.RESTARTED, stream, what) for stream in ('ping', 'topic')
         for what in ('median', '95th percentile')] + [
        'PEER_RELAY after a hard NAT, ping, median', 'PEER_RELAY after a hard NAT, ping, 95th percentile',
        '2 peers, one path dies', 'unnecessary rebinds in 1 cases, of each 10 minutes, real']
    assert ratio(made, made.row('UDP cut, ping')) == pytest.approx(0.19)
    assert render(made) and json.dumps(as_dict(made))


def test_each_harmless_case_has_a_shape_that_the_lab_knows():
    assert len({name for name, _words, _stream, _off in harmless_links.CASES}) == len(harmless_links.CASES)
    for _name, words, _stream, _off in harmless_links.CASES:
        harmless_links.shape.parse(words)


def test_fifty_robots_have_addresses_of_their_own():
    made = many_links.topology(50)
    places = {(robot.behind, robot.address) for robot in made.robots}
    assert len(made.robots) == len(places) == 51 and [router.name for router in made.nats] == ['nat1', 'nat2', 'nat3']


def test_a_robot_has_heard_all_others():
    def event(time, what, who=''):
        return {'time': time, 'event': what, 'who': who}

    noted = [event(1, 'started'), event(2, 'heard', 'dev-2'), event(3, 'heard', 'dev-3'), event(4, 'heard', 'dev-2')]
    assert team_reboot.when_all(noted, {'dev-2', 'dev-3'}) == 3
    assert team_reboot.when_all(noted[:2], {'dev-2', 'dev-3'}) is None
    # What an earlier process heard is over.
    assert team_reboot.when_all(noted + [event(5, 'started'), event(6, 'heard', 'dev-2')], {'dev-2', 'dev-3'}) is None


def test_the_reboot_figure_counts_the_rounds_within_the_aim():
    values = {(site.label, kind, 'heard'): [9.0, 11.0] for site in team_reboot.SITES for kind in team_reboot.KINDS}
    values[team_reboot.TWO_HOSTS.label, 'hard', 'heard'] = [9.0, team_reboot.LIMIT]
    values[team_reboot.ONE_HOST.label, 'easy', team_reboot.UNRESOLVED] = [0, 1]
    made = team_reboot.figure(values)
    missed = [aim for aim in made.aims if 'MISSED' in aim]
    assert len(missed) == 2 and '1 of 2 within 15 s' in missed[0] and '1 names' in missed[1]
    assert render(made) and json.dumps(as_dict(made))


def test_hosts_on_the_internet_have_addresses_in_turn():
    made = parse(setup_lab.topology(['dev-1'], ('server', 'second')))
    assert [(host.name, host.addresses[0]) for host in made.hosts] == [
        ('server', '203.0.113.10'), ('second', '203.0.113.11')]
