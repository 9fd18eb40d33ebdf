"""Comments of people in a file that commands rewrite."""
import pytest

from ua_overlay.headscale.rules import Rules, Talk, Team, User
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site.site import dump_site, parse_site
from ua_overlay.site.yaml_edit import keep_comments

SETTINGS = SiteSettings('server.ua.test', ('203.0.113.10',))
RULES = Rules({'iris': Team('iris'), 'blue': Team('blue')}, (Talk('blue', 'iris'),),
              {'ana': User('ana', ('iris',))})

EDITED = '''\
## of the package, of another release
# the lab in building 19
version: 1
name: server.ua.test
addresses:
# the proxy's
- 203.0.113.10
teams:
  # the old ones
  iris:
    port: 11312  # not 11311
    addressing: names
  blue: {port: 11312, addressing: names}   # on loan
talk:
  # until the review
  - {from: blue, to: iris, what: [ros, ping]}  # ask Rui
users:
  ana: {teams: [iris]}  # until June
# the end
'''


def line_with(text, words):
    lines = [line for line in text.splitlines() if words in line]
    assert len(lines) == 1, lines
    return lines[0]


def above(text, words):
    lines = text.splitlines()
    return lines[lines.index(line_with(text, words)) + 1].strip()


def test_comments_stay_where_they_belong():
    text = keep_comments(EDITED, dump_site(SETTINGS, RULES))
    assert above(text, '# the lab in building 19') == 'version: 1'
    assert above(text, "# the proxy's") == '- 203.0.113.10'
    assert above(text, '# the old ones') == 'iris:' and line_with(text, '# the old ones').startswith('  #')
    assert above(text, '# until the review').startswith('- {from: blue')
    assert line_with(text, 'until June').startswith('  ana: {')
    assert line_with(text, 'ask Rui').startswith('  - {from: blue')
    assert line_with(text, '# on loan').startswith('  blue:')
    assert line_with(text, '# not 11311') == '    port: 11312  # not 11311'
    assert text.splitlines()[-1] == '# the end' and 'another release' not in text
    assert parse_site(text, 'x') == parse_site(EDITED, 'x') == (SETTINGS, RULES)


def test_equal_values_change_nothing():
    text = keep_comments(EDITED, dump_site(SETTINGS, RULES))
    assert keep_comments(text, dump_site(SETTINGS, RULES)) == text


def test_a_comment_of_a_removed_line_moves_above_its_section():
    text = keep_comments(EDITED, dump_site(SETTINGS, Rules({'iris': Team('iris')})))
    assert above(text, '# on loan') == 'teams:'
    for words in ('# until the review', '# ask Rui'):
        assert words in text.split('talk: []')[0].split('addressing: names')[-1]
    assert '# until June' in text and parse_site(text, 'x')[1] == Rules({'iris': Team('iris')})


def test_comments_stay_when_a_value_changes_or_a_line_is_added():
    rules = Rules(dict(RULES.teams, alpha=Team('alpha'), iris=Team('iris', 11400)), RULES.talk, RULES.users)
    text = keep_comments(EDITED, dump_site(SETTINGS, rules))
    assert line_with(text, '# not 11311') == '    port: 11400  # not 11311'
    assert above(text, '# the old ones') == 'iris:'


@pytest.mark.parametrize('old, kept', [
    ('', []), ('# alone\n', ['# alone']), ('teams: # here\n', ['# here']), ('name: "a # b"\n', []),
    ("name: 'x # y' # z\n", ['# z']), ('- # x\n', ['# x']), (': # y\n', ['# y']), ('{ # q\n', ['# q']),
    ('talk:\n- from: blue # list\n  to: iris\n# a\n\n# b\nteams:\n', ['# list', '# a', '# b'])])
def test_values_are_unchanged_for_any_input(old, kept):
    new = dump_site(SETTINGS, RULES)
    text = keep_comments(old, new)
    assert parse_site(text, 'x') == (SETTINGS, RULES)
    assert all(words in text for words in kept) and text.count('#') == new.count('#') + len(kept)
