"""Gathering facts without a lab. With real programs: test/lab/test_doctor.py."""
from ua_overlay.checks.observe.observer import Observer
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv import preferences as preferences_file
from ua_overlay.rosenv.preferences import Preferences
from ua_overlay.tailscale.localapi import LocalApi
from unit.checks.healthy import TEAM


class PlayedApi:
    """A tailscaled of a robot in team iris, whose network map has the team's port."""

    def status(self, peers=True):
        return {'BackendState': 'Running', 'HaveNodeKey': True, 'Self': {
            'DNSName': 'dev-2.overlay.internal.', 'Online': True, 'Tags': ['tag:iris'], 'TailscaleIPs': ['100.64.0.2'],
            'CapMap': {'ua-overlay:team-port=11400': None}}}


def preferences(tmp_path):
    return Observer(PlayedApi(), {'team': 'blue', 'team_port': 11399}, str(tmp_path / 'ca.pem'), patience=0.1,
                            locate=lambda: envfile.Location(str(tmp_path), True)).observe(frozenset()).preferences


def test_launch_arguments_of_the_overlay_node_win(tmp_path):
    """The node derived them from all three, so they win over the invitation and the network map."""
    of_the_node = Preferences(master='dev-9', team_port=11500, team='iris')
    preferences_file.write(envfile.Location(str(tmp_path), True), of_the_node)
    assert preferences(tmp_path) == of_the_node


def test_without_an_overlay_node_the_network_map_wins_over_the_invitation(tmp_path):
    assert preferences(tmp_path) == Preferences(team_port=11400, team='iris')


def test_observe_without_a_daemon(tmp_path):
    """Facts that need no tailscaled are observed; nothing is raised, and nothing is sent to the network."""
    observer = Observer(LocalApi(str(tmp_path / 'none.sock')), environ=dict(TEAM, HOME='/'),
                                locate=lambda: envfile.Location(str(tmp_path), True))
    facts = observer.observe()
    assert facts.daemon_problem.code == 'NO_DAEMON' and facts.shell == TEAM and facts.actual == {}
    assert facts.interfaces and facts.server is None and facts.attempts is None


def test_an_unsafe_env_file(tmp_path):
    (tmp_path / 'env').write_text('ROS_MASTER_URI=http://a;b\n')
    facts = Observer(LocalApi(str(tmp_path / 'none.sock')),
                             locate=lambda: envfile.Location(str(tmp_path), True)).observe()
    assert facts.actual is None and 'is not used' in facts.env_problem
