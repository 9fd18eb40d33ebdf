"""Keep people's comments in a YAML file that commands rewrite. Pure.

A comment belongs to the line below it, or to the line at whose end it stands. A line is identified by its section (the
key without indent) and its own key, even if its value has changed. `##` begins the comments that commands write.

Why not ruamel.yaml: this module is small and tested, it cannot reformat the file, because it only adds comment lines to
a generated text, and it saves the server a dependency.
"""
import re
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

#: Prefix of the comments that commands write; all other comments are people's.
OURS = '##'
#: (section, key): identifies a line.
Anchor = Tuple[str, str]
#: The key of a line: `name:`, `- name:`, or for a rule in one line `- {from: a, to: b`.
_KEY = re.compile(r'\s*(?:- )?(\{\s*from:\s*[^,}]+,\s*to:\s*[^,}]+|"?[\w.-]+"?(?=\s*:)|[^:#]+)')


def keep_comments(old: str, new: str) -> str:
    """Return the text ``new`` with the comments that people wrote into ``old``.

    The comment of a removed line moves above its section, or to the end if the section was removed too. No comment is
    lost.
    """
    lines = new.splitlines()
    above, behind = _comments(old)
    positions = {anchor: number for number, anchor in reversed(list(enumerate(_anchors(lines)))) if anchor is not None}
    inserts: Dict[int, List[str]] = {}
    rest: List[str] = []
    for anchor, block in above:
        position = _position(positions, anchor)
        if position is None:
            rest += block
        else:
            indent = lines[position][:len(lines[position]) - len(lines[position].lstrip())]
            inserts.setdefault(position, []).extend(indent + line for line in block)
    for anchor, text in behind:
        position = _position(positions, anchor)
        if anchor in positions:
            lines[positions[anchor]] += '  ' + text
        elif position is None:
            rest.append(text)
        else:
            inserts.setdefault(position, []).append(text)
    result: List[str] = []
    for number, line in enumerate(lines):
        result += inserts.get(number, []) + [line]
    return '\n'.join(result + rest) + '\n'


def _position(positions: Dict[Anchor, int], anchor: Optional[Anchor]) -> Optional[int]:
    """Return the line of an anchor, or of its section."""
    return None if anchor is None else positions.get(anchor, positions.get((anchor[0], anchor[0])))


def _comments(text: str) -> Tuple[List[Tuple[Optional[Anchor], List[str]]], List[Tuple[Anchor, str]]]:
    """Return people's comments.

    :returns: ([(anchor of the line below, or None at the end; lines of a comment)], [(anchor; comment that ends the
        line)]).
    """
    lines = text.splitlines()
    above: List[Tuple[Optional[Anchor], List[str]]] = []
    behind: List[Tuple[Anchor, str]] = []
    block: List[str] = []
    for line, anchor in zip(lines, _anchors(lines)):
        stripped = line.strip()
        if stripped.startswith('#'):
            if not stripped.startswith(OURS):
                block.append(stripped)
        elif anchor is not None:
            if block:
                above.append((anchor, block))
                block = []
            comment = _comment_of(line)
            if comment:
                behind.append((anchor, comment))
    if block:
        above.append((None, block))
    return above, behind


def _anchors(lines: Sequence[str]) -> Iterator[Optional[Anchor]]:
    """Yield the anchor of each line, None for a comment or an empty line.

    The key of a team's field is prefixed with the team, because several teams have the same field.
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


def _comment_of(line: str) -> str:
    """Return the comment that ends a line, '' for none."""
    for match in re.finditer(r'(?<=\s)#', line):
        before = line[:match.start()]
        if before.count('"') % 2 == 0 and before.count("'") % 2 == 0:
            return line[match.start():].rstrip()
    return ''
