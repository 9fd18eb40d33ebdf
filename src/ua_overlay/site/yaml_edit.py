"""A file that people edit and commands write anew: the people's comments go along. Pure.

A comment belongs to the line that it stands above or behind. A line is known again by its section (the key that is not
indented) and its own key, whatever became of its value. `##` begins the comments that commands write.
"""
import re

OURS = '##'
#: How the first release began its file, before it had a sign for its own comments.
_FORMER = ('# A site of ua_overlay: the control server and its teams. After editing: start `ua-overlay',
           '# server run` again, or for teams alone send it SIGHUP.')
#: The key of a line: `name:`, `- name:`, or for a rule in one line `- {from: a, to: b`.
_KEY = re.compile(r'\s*(?:- )?(\{\s*from:\s*[^,}]+,\s*to:\s*[^,}]+|"?[\w.-]+"?(?=\s*:)|[^:#]+)')


def keep_comments(old, new):
    """The text ``new`` with the comments that people wrote into ``old``.

    A comment whose line is gone goes above its section, and without that to the end: none is lost.
    """
    lines = new.splitlines()
    above, behind = _comments(old)
    positions = {anchor: number for number, anchor in reversed(list(enumerate(_anchors(lines)))) if anchor is not None}
    inserts, rest = {}, []
    for anchor, block in above:
        position = positions.get(anchor, positions.get((anchor[0], anchor[0])) if anchor else None)
        if position is None:
            rest += block
        else:
            indent = re.match(r'\s*', lines[position]).group()
            inserts.setdefault(position, []).extend(indent + line for line in block)
    for anchor, text in behind:
        if anchor in positions:
            lines[positions[anchor]] += '  ' + text
        else:
            position = positions.get((anchor[0], anchor[0]))
            (rest if position is None else inserts.setdefault(position, [])).append(text)
    found = []
    for number, line in enumerate(lines):
        found += inserts.get(number, []) + [line]
    return '\n'.join(found + rest) + '\n'


def _comments(text):
    """([(anchor of the line below or None, lines of a comment)], [(anchor, comment behind a line)])."""
    lines = text.splitlines()
    above, behind, block = [], [], []
    for line, anchor in zip(lines, _anchors(lines)):
        stripped = line.strip()
        if stripped.startswith('#'):
            if not stripped.startswith(OURS) and stripped not in _FORMER:
                block.append(stripped)
        elif anchor is not None:
            if block:
                above.append((anchor, block))
                block = []
            comment = _behind(line)
            if comment:
                behind.append((anchor, comment))
    if block:
        above.append((None, block))
    return above, behind


def _anchors(lines):
    """For each line (section, key), or None for a comment or an empty one.

    The key of a team's field has the team in front of it, for several teams have one.
    """
    section, item = '', ''
    for line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith('#'):
            yield None
            continue
        match = _KEY.match(line)
        key = re.sub(r'["\s]', '', match.group(1)) if match else ''
        indent = len(line) - len(line.lstrip())
        if indent == 0 and not stripped.startswith('- '):
            section, item = key, ''
            yield section, key
        elif indent <= 2:
            item = key
            yield section, key
        else:
            yield section, item + '/' + key


def _behind(line):
    """The comment behind what a line says, '' for none."""
    for match in re.finditer(r'(?<=\s)#', line):
        before = line[:match.start()]
        if before.count('"') % 2 == 0 and before.count("'") % 2 == 0:
            return line[match.start():].rstrip()
    return ''
