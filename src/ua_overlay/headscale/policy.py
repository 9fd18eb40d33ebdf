"""Headscale's policy from the teams of a site: a pure function, and its JSON.

Teams are tags. A robot reaches every port of the robots of its own team (ROS 1 uses ephemeral ports in both
directions) and nothing else; the site's peer relay carries traffic for all teams and can be reached by none.
"""
import json

from ua_overlay import defaults


def team_tag(team):
    """`iris` -> `tag:iris`."""
    return 'tag:' + team


def make_policy(teams):
    """The policy as a dict (policy v2 of Headscale 0.29).

    :param teams: iterable of valid team names.
    :returns: dict with `tagOwners` (owned by nobody: only the server's administrator gives tags away), `grants` and
        `nodeAttrs`. With no team `grants` is empty, which denies everything; a policy without it would allow all.
        There is no `tests` section: a test that names a tag without a node fails, and with it the whole policy.
    """
    tags = [team_tag(team) for team in sorted(teams)]
    grants = [{'src': [tag], 'dst': [tag], 'ip': ['*']} for tag in tags]
    if tags:
        grants.append({'src': tags, 'dst': [defaults.RELAY_TAG], 'app': {'tailscale.com/cap/relay': [{}]}})
    return {
        'tagOwners': {tag: [] for tag in tags + [defaults.MASTER_TAG, defaults.RELAY_TAG]},
        'grants': grants,
        # Without it a robot that loses its server asks hosts of Tailscale Inc. whether it sits behind a captive portal.
        'nodeAttrs': [{'target': ['*'], 'attr': ['disable-captive-portal-detection']}],
    }


def dump_policy(policy):
    """The policy as JSON text, the same for the same policy."""
    return json.dumps(policy, indent=2, sort_keys=True) + '\n'
