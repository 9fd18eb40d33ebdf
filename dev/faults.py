#!/usr/bin/python3
"""Write the table of faults from the tests: `make faults` writes docs/faults.md again.

A row is one `pytest.mark.fault(id, fault, behaviour=…, reported=…, recovery=…, lost=…)` (pytest.ini) on a test, on a
class or a file (`pytestmark`), or on a case of a test (`pytest.param(…, marks=…)`). The files are parsed, not imported.
"""
import ast
import os
import re
import sys
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple, Union

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = os.path.join(ROOT, 'docs', 'faults.md')
FOLDERS = ('test/unit', 'test/lab')
#: What the ids stand for, in the order of the table.
IDS = {
    'K1': 'a thread or a command meets an answer or a file that nobody expected',
    'K2': 'a change of the rules fails half way',
    'K3': 'a disk is full',
    'K4': 'a file or an answer is damaged, endless or of another kind',
    'K5': 'a directory belongs to somebody else',
    'K6': 'a second one is started beside the first',
    'K7': 'a report, and what its advice does',
    'K8': 'processes and values exist twice',
    'K9': 'another program is called, or calls',
    'case 1': 'a shell exports ROS variables after sourcing',
    'case 2': "the robot's own bringup at boot",
    'case 3': "the robot's own roscore",
    'case 4': 'that roscore restarts',
    'case 5': 'a robot of the team vanishes',
    'case 6': 'names of visible peers of other teams',
    'case 7': 'clocks',
    'case 8': 'tailscaled is in another tailnet already',
    'case 9': 'a copied SD card',
    'case 10': "tailscaled's state is elsewhere",
    'case 11': "tailscaled's state is lost",
    'case 12': 'an HTTP proxy is the only way out',
    'case 13': 'a kernel without nf_tables',
    'case 14': 'tailscaled reports bad health',
    'case 15': 'ROS runs in a container',
    'case 16': 'what nodes may do under the service',
    'case 17': 'a robot of another architecture',
    'case 18': 'LAN or LTE in 100.64.0.0/10',
    'case 19': "Ansible and the robot's own workspace",
    'case 20': 'ROS One and builds from source',
    'case 21': 'laptops with Windows, macOS or Android',
    'new': 'everything else',
}
#: Keywords of a marker, which are columns of the table.
WORDS = ('behaviour', 'reported', 'recovery', 'lost')
MARKER = 'pytest.mark.fault'
#: A cell is a phrase: it names no more than one thing.
LONGEST = 200
INTRODUCTION = '''# Faults

What happens when something fails, as the tests prove it. Each row is one test or more: it causes the fault on real
parts, and fails if the package behaves otherwise or takes longer.

- **reported within**, **recovers within**: the most that the test accepts, counted from the fault, or for the recovery
  from the end of its cause. The usual time is shorter. A slow machine multiplies the limits of lab tests
  (`UA_OVERLAY_TIME_SCALE`). `at once`: by the command or the message that meets the fault, whenever that is. `-`:
  nothing is reported, or nothing has to recover.
- **lost**: data or work that the fault costs.
- **id**: K1 to K9 are kinds of faults that were found by trying; case 1 to case 21 come from public reports about
  robots; `new` is everything else.

`make faults` generates this page from the markers of the tests. To add a row, mark the test with
`@pytest.mark.fault` ([pytest.ini](../pytest.ini)), then run:

    make faults

| id | about |
|---|---|
{ids}

## All faults

| id | fault | behaviour | reported within | recovers within | lost | test |
|---|---|---|---|---|---|---|
'''

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


class Malformed(Exception):
    """A marker that makes no row; the message names file, line and what is wrong."""


class Row(NamedTuple):
    """A row of the table without its tests; six texts."""

    id: str
    fault: str
    behaviour: str
    reported: str
    recovery: str
    lost: str


def row_of(call: ast.Call) -> Row:
    """Read a marker. Pure.

    :raises Malformed: without file and line.
    """
    try:
        place = [ast.literal_eval(argument) for argument in call.args]
        words = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    except ValueError:
        raise Malformed('a marker holds literals only')
    if len(place) != 2 or sorted(map(str, words)) != sorted(WORDS):
        raise Malformed('a marker is fault(id, fault, {})'.format(', '.join(word + '=…' for word in WORDS)))
    cells = place + [words[word] for word in WORDS]
    for cell in cells:
        if not isinstance(cell, str) or cell != ' '.join(cell.split()) or not cell:
            raise Malformed('{!r} is not one line of text'.format(cell))
        if len(cell) > LONGEST:
            raise Malformed('{!r}… is longer than {} characters'.format(cell[:40], LONGEST))
        if cell.endswith('.'):
            raise Malformed('{!r} is a phrase: no full stop at its end'.format(cell))
    if cells[0] not in IDS:
        raise Malformed('no id {!r}; ids are K1 to K9, case 1 to case 21, new'.format(cells[0]))
    return Row(*cells)


def is_marker(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == MARKER


def functions_of(tree: ast.Module) -> Iterator[Tuple[str, Function]]:
    """Yield (name as pytest prints it, function) of the tests of a module. Pure."""
    for node in tree.body:
        for inner in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)) and inner.name.startswith('test_'):
                yield (node.name + '::' if inner is not node else '') + inner.name, inner


def targets_of(statement: ast.stmt) -> List[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else \
        [statement.target] if isinstance(statement, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def places_of(tree: ast.Module) -> Iterator[Tuple[ast.expr, str]]:
    """Yield (expression that may hold markers, the test that they are for; '' for the whole file). Pure.

    Cases in a constant of the module are for the tests whose decorators name it.
    """
    constants: Dict[str, ast.expr] = {}
    for statement in tree.body:
        for name in targets_of(statement):
            value = getattr(statement, 'value', None)
            if name == 'pytestmark':
                yield value, ''
            elif value is not None:
                constants[name] = value
        if isinstance(statement, ast.ClassDef):
            for decorator in statement.decorator_list:
                yield decorator, statement.name
            for inner in statement.body:
                if 'pytestmark' in targets_of(inner):
                    yield inner.value, statement.name  # type: ignore[attr-defined]  # targets_of read it
    for name, function in functions_of(tree):
        for decorator in function.decorator_list:
            yield decorator, name
            for word in {node.id for node in ast.walk(decorator) if isinstance(node, ast.Name)} & set(constants):
                yield constants[word], name


def rows_of(tree: ast.Module) -> List[Tuple[Row, str]]:
    """Return (row, name of its test) for each marker of a module, in the order of the file. Pure.

    :raises Malformed: with the line.
    """
    found, used = [], set()
    for expression, test in places_of(tree):
        for node in ast.walk(expression):
            if isinstance(node, ast.Call) and is_marker(node.func):
                used.add(node.func)
                try:
                    found.append((node.lineno, row_of(node), test))
                except Malformed as wrong:
                    raise Malformed('line {}: {}'.format(node.lineno, wrong))
    for node in ast.walk(tree):
        if is_marker(node) and node not in used:
            raise Malformed('line {}: this marker is on no test'.format(getattr(node, 'lineno', 0)))
    return [(row, test) for _, row, test in sorted(found, key=lambda each: each[0])]


def test_files() -> List[str]:
    """Return the paths of all files of tests, relative to the checkout."""
    return sorted(os.path.relpath(os.path.join(folder, name), ROOT) for top in FOLDERS
                  for folder, _, names in os.walk(os.path.join(ROOT, top)) for name in names
                  if re.fullmatch(r'test_\w+\.py', name))


def collect(paths: Sequence[str] = ()) -> List[Tuple[Row, List[Tuple[str, str]]]]:
    """Return (row, [(path, test)]) of all markers; equal markers are one row.

    :param paths: relative to the checkout; default: all files of tests.
    :raises Malformed: with path and line.
    """
    rows: Dict[Row, List[Tuple[str, str]]] = {}
    for path in paths or test_files():
        with open(os.path.join(ROOT, path), encoding='utf-8') as stream:
            tree = ast.parse(stream.read(), path)
        try:
            for row, test in rows_of(tree):
                if (path, test) not in rows.setdefault(row, []):
                    rows[row].append((path, test))
        except Malformed as wrong:
            raise Malformed('{}, {}'.format(path, wrong))
    order = list(IDS)
    return sorted(rows.items(), key=lambda item: (order.index(item[0].id), item[0].fault.lower(), item[0]))


def cell(text: str) -> str:
    """Escape a text for a table of Markdown. Pure."""
    return text.replace('|', '\\|').replace('<', '&lt;')


def link(path: str, test: str) -> str:
    """Link to a test from docs/. Pure."""
    return '[{}](../{})'.format('::'.join([os.path.basename(path)] + [test] * bool(test)), path)


def render(rows: Sequence[Tuple[Row, List[Tuple[str, str]]]]) -> str:
    """Return the page. Pure."""
    lines = ['| {} | {} |'.format(' | '.join(cell(text) for text in row), ', '.join(link(*test) for test in tests))
             for row, tests in rows]
    ids = '\n'.join('| {} | {} |'.format(*item) for item in IDS.items())
    return INTRODUCTION.format(ids=ids) + '\n'.join(lines + [''])


def main() -> int:
    """Write the page; returns the exit status."""
    try:
        text = render(collect())
    except Malformed as wrong:
        print(wrong, file=sys.stderr)
        return 1
    with open(PATH, 'w', encoding='utf-8') as stream:
        stream.write(text)
    print(os.path.relpath(PATH))
    return 0


if __name__ == '__main__':
    sys.exit(main())
