"""Read the rooms of src/ua_overlay and the arrows between them from the imports.

Used by dev/drawing.py, which draws them, and by test/unit/project/test_rooms.py, which enforces the allowed imports.
"""
import ast
import functools
import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = os.path.join(ROOT, 'src', 'ua_overlay')
#: Modules that belong to no room: every room may import them, and they import no room.
GROUND = ('advice', 'clock', 'defaults', 'digits', 'errors', 'link_types', 'printable', 'protocols', 'resources',
          'tags')
#: Packages that catkin generates from msg/ and srv/: ROS, although they carry our name.
GENERATED = ('ua_overlay.msg', 'ua_overlay.srv')


@functools.lru_cache(maxsize=None)
def modules():
    """Return (dotted name below ua_overlay, path) of every module; the package itself is ''. Do not change the list."""
    pairs = []
    for folder, _, names in os.walk(PACKAGE):
        for name in sorted(names):
            if name.endswith('.py'):
                path = os.path.join(folder, name)
                dotted = os.path.relpath(path, PACKAGE)[:-len('.py')].replace(os.sep, '.')
                pairs.append(('' if dotted == '__init__' else dotted.replace('.__init__', ''), path))
    return sorted(pairs)


@functools.lru_cache(maxsize=None)
def tree_of(path):
    """Parse the module at ``path``; several thousand tests ask for a few hundred modules. Do not change the tree."""
    with open(path, encoding='utf-8') as stream:
        return ast.parse(stream.read(), path)


def imports(tree):
    """Yield the dotted name of everything a module imports, wherever in the file.

    `from a.b import c` yields both a.b and a.b.c, because c may be a module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'line {}: a relative import'.format(node.lineno)
            yield node.module
            for alias in node.names:
                yield node.module + '.' + alias.name


def room_of(dotted):
    """Return the room of a module: 'rosenv' for 'rosenv.keeper', '' for the package itself."""
    return dotted.split('.')[0]


def is_generated(name):
    """Say whether an imported name is one of catkin's generated packages."""
    return any(name == own or name.startswith(own + '.') for own in GENERATED)


def inside(names):
    """Return the imported names of this package, without the leading `ua_overlay.`."""
    return [name[len('ua_overlay.'):] for name in names if name.startswith('ua_overlay.') and not is_generated(name)]


def sizes(pairs=None):
    """Return {room: (files, lines)}; the ground's modules count as the room 'ground'."""
    totals = {}
    for dotted, path in modules() if pairs is None else pairs:
        room = room_of(dotted)
        room = 'ground' if room in GROUND or not room else room
        with open(path, encoding='utf-8') as stream:
            lines = sum(1 for _ in stream)
        files, before = totals.get(room, (0, 0))
        totals[room] = (files + 1, before + lines)
    return totals


def arrows(pairs=None):
    """Return {room: set of the other rooms that its modules import}, without the ground."""
    pairs = modules() if pairs is None else pairs
    rooms = {room_of(dotted) for dotted, _ in pairs} - set(GROUND) - {''}
    targets = {room: set() for room in rooms}
    for dotted, path in pairs:
        room = room_of(dotted)
        if room in rooms:
            targets[room] |= {room_of(name) for name in inside(imports(tree_of(path)))} & rooms - {room}
    return targets


def below(targets, room):
    """Return every room that ``room`` reaches over any number of arrows."""
    reached, left = set(), [room]
    while left:
        for other in targets[left.pop()] - reached:
            reached.add(other)
            left.append(other)
    return reached


def reduced(targets):
    """Return the arrows without those that follow from others (transitive reduction; there is no cycle)."""
    return {room: {other for other in others
                   if not any(other in below(targets, between) for between in others - {other})}
            for room, others in targets.items()}
