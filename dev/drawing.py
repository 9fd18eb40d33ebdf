#!/usr/bin/python3
"""Draw the rooms of src/ua_overlay and who imports whom: `make drawing` writes docs/rooms.svg.

The rooms, arrows and sizes come from the files (dev/rooms.py); this module adds only the columns, the order within a
row and the texts. A room stands one row above the highest room that it imports, so every arrow points down. All arrows
to one room join on their way down.
"""
import itertools
import os
import re
import sys
from xml.sax.saxutils import escape

import rooms

PATH = os.path.join(rooms.ROOT, 'docs', 'rooms.svg')

#: Each room's column and purpose (at most two lines of a box). Rooms of one row and column stand in this order.
ROOMS = {
    'cli': ('all', 'the command ua-overlay: one module for each of its commands'),
    'nodes': ('robot', 'ROS adapters: the overlay node and its interface'),
    'wtf': ('robot', 'plugin of roswtf'),
    'checks': ('robot', 'doctor, roswtf, /diagnostics: one table'),
    'agent': ('robot', 'root service: operator, egress rule, hosts file'),
    'membership': ('robot', 'join and leave'),
    'rosenv': ('robot', 'which master, which name; roscore, launch file'),
    'tailscale': ('robot', 'client of tailscaled: LocalAPI, links, watcher'),
    'trust': ('robot', 'CA, certificates, invitations, names'),
    'firewall': ('robot', 'egress rule, guard of the ROS ports'),
    'toolchain': ('robot', 'tailscale and headscale, found or built'),
    'server': ('server', 'what runs there: processes, services, forwarding'),
    'site': ('server', "the administrator's directory: settings, backup"),
    'relays': ('server', 'relays and DERPs, here and on remote hosts'),
    'headscale': ('server', 'what Headscale takes and says: policy, REST'),
    'measure': ('lab', 'campaigns, tools, monitor, report'),
    'lab': ('lab', 'hosts, NATs, bad links on one machine'),
    'wire': ('lab', 'packets, captures, proof of encryption'),
    'system': ('all', 'Linux plumbing: files, units, processes, sockets, nftables'),
    'ground': ('all', 'errors, defaults, tags, link types, clock, protocols'),
}
#: Heading, then the colours of panel, box and border.
COLUMNS = {
    'server': ('SERVER', '#fbf4ea', '#fffdf9', '#c98a3a'),
    'robot': ('ROBOT', '#eaf3fb', '#fafdff', '#3a7fc9'),
    'lab': ('LAB', '#eef7ee', '#fbfefb', '#4f9d57'),
    'all': ('', '#f2f2f5', '#fcfcfd', '#6b7280'),
}
NOTES = (
    'An arrow: modules of the upper room import modules of the lower one. Arrows that follow from others are left out.',
    'Every room may import the ground. No arrow leaves ROBOT: what a robot runs imports no code of the server or lab.')
FONT = 'system-ui, -apple-system, &quot;Segoe UI&quot;, &quot;DejaVu Sans&quot;, Helvetica, Arial, sans-serif'
INK, FAINT, LINE = '#1f2933', '#64707d', '#52606d'
MARGIN, WIDTH = 16, 1120
#: Left edge and width of each panel.
PANELS = {'server': (16, 220), 'robot': (252, 616), 'lab': (884, 220)}
BOX_WIDTH, BOX_HEIGHT, BAR_HEIGHT = 184, 78, 44
#: Height between two rows without and per bend; distance of two arrows beside a box; radius of a bend.
CHANNEL, TRACK, LANE, RADIUS = 30, 11, 12, 6
HEADING = 28


def row_of(targets):
    """Return {room: row}, from the bottom: 1 for system/, else one above the highest room that it imports, from 2.

    :param targets: {room: set of rooms}, without a cycle.
    """
    rows = {}

    def row(room):
        if room not in rows:
            rows[room] = 1 + max([row(other) for other in targets[room]] + [0 if room == 'system' else 1])
        return rows[room]

    for room in targets:
        row(room)
    return rows


class Layout:
    """The positions of all elements, in units from the top left corner.

    :param arrows: {room: set of the rooms to draw an arrow to}.
    :ivar boxes: {room: (left, top, width, height)}
    :ivar bundles: for each target and channel, the lines (lists of points) that lead down to the target.
    :ivar heads: the points at which an arrow ends.
    :ivar entries: x of the arrows that come down from cli/.
    :ivar panels: {column: (left, top, width, height)}
    :ivar height: of the whole drawing.
    """

    def __init__(self, arrows):
        self.row = row_of(arrows)
        self.rows = [[room for room in ROOMS if self.row.get(room) == row] for row in range(self.row['cli'] + 1)]
        self.x = {}
        for members in self.rows:
            self._place(members)
        # The bar of system/ takes an arrow wherever it comes down: each one is a separate target.
        self.arrows = {room: {'system/' + room if other == 'system' else other for other in arrows[room]}
                       for room in sorted(arrows)}
        for target in self._into_bar():
            self.row[target], self.x[target] = 1, self.x[target.partition('/')[2]]
        self._taken = {}
        self.lanes = self._lanes()
        self._draw([self._channel(row) for row in range(1, len(self.rows) - 1)])

    def _place(self, members):
        for column, (left, width) in PANELS.items():
            mine = [room for room in members if ROOMS[room][0] == column]
            for index, room in enumerate(mine):
                if len(mine) < 3:
                    self.x[room] = left + width / len(mine) * (index + 0.5)
                else:
                    self.x[room] = left + 16 + BOX_WIDTH / 2 + index * (width - 32 - BOX_WIDTH) / (len(mine) - 1)

    def _sources(self, target):
        return [room for room in self.arrows if target in self.arrows[room]]

    def _into_bar(self):
        return ['system/' + room for room in self.arrows if 'system/' + room in self.arrows[room]]

    def _targets(self):
        return [room for room in ROOMS if room in self.arrows and room in self.x] + self._into_bar()

    def _lanes(self):
        """Return {(target, row): x}: where the arrows to a target pass a row of boxes that lies between."""
        lanes = {}
        for target in self._targets():
            x = self.x[target]
            highest = max([self.row[room] for room in self._sources(target)] or [0])
            for row in range(self.row[target] + 1, highest):
                lanes[target, row] = x = self._gap(row, x)
                if target.startswith('system/'):
                    self.x[target] = x
        return lanes

    def _gap(self, row, x):
        """Take the free x nearest to ``x`` that no box of a row covers."""
        half = BOX_WIDTH / 2 + LANE
        boxes = [self.x[room] for room in self.rows[row]]
        spots = [x] + [middle + side * (half + LANE * n) for middle in boxes for side in (-1, 1) for n in range(6)]
        free = [spot for spot in spots if MARGIN < spot < WIDTH - MARGIN
                and all(abs(spot - middle) >= half for middle in boxes)
                and all(abs(spot - other) >= LANE for other in self._taken.get(row, ()))]
        best = min(free, key=lambda spot: (abs(spot - x), spot))
        self._taken.setdefault(row, []).append(best)
        return best

    def _channel(self, row):
        """Return the arrows between a row and the row above it.

        :return: ({target: (x below, [x above])}, targets of the lines that bend, the highest bend first).
        """
        low = {target: self.x[target] if self.row[target] == row else self.lanes.get((target, row))
               for target in self._targets() if self.row[target] <= row}
        ports = {}
        for room in self.rows[row + 1]:
            for target in self.arrows[room]:
                if target in low:
                    ports.setdefault(room, []).append((low[target], target))
        above = {target: [self.lanes[target, row + 1]] if (target, row + 1) in self.lanes else [] for target in low}
        for room, pairs in ports.items():
            for x, target in self._ports(room, sorted(pairs)):
                above[target].append(x)
        bundles = {target: (low[target], above[target]) for target in low if above[target]}
        bent = sorted(target for target, (x, tops) in bundles.items() if any(top != x for top in tops))
        return bundles, min(itertools.permutations(bent), key=lambda order: crossings(order, bundles))

    def _ports(self, room, pairs):
        """Return (x, target): where each arrow leaves a room, straight above its target where that is possible.

        :param pairs: sorted (x of the target, target).
        """
        if room not in self.x:
            return pairs
        middle, half, step = self.x[room], BOX_WIDTH / 2 - 14, 26
        straight = [x for x, _ in pairs if abs(x - middle) <= half]
        left = [target for x, target in reversed(pairs) if x < middle - half]
        right = [target for x, target in pairs if x > middle + half]
        first = min(straight or [middle + step * (len(left) + 1 - len(right)) / 2])
        last = max(straight or [first - step])
        return ([(x, target) for x, target in pairs if x in straight]
                + [(first - step * (index + 1), target) for index, target in enumerate(left)]
                + [(last + step * (index + 1), target) for index, target in enumerate(right)])

    def _draw(self, channels):
        bar = (MARGIN, WIDTH - 2 * MARGIN)
        self.boxes, self.bundles, self.heads, self.panels = {'cli': (bar[0], MARGIN, bar[1], BAR_HEIGHT)}, [], [], {}
        self.entries = sorted({x for _, tops in channels[-1][0].values() for x in tops})
        bottom = MARGIN + BAR_HEIGHT
        for row in range(len(self.rows) - 2, 0, -1):
            bundles, order = channels[row - 1]
            extra = HEADING if row == len(self.rows) - 2 else 0
            if extra:
                panel_top = bottom + 12
            # Below the panels, 14 more.
            top = bottom + CHANNEL + TRACK * max(0, len(order) - 1) + extra + (14 if row == 1 else 0)
            if row == 1:
                self.boxes['system'] = (bar[0], top, bar[1], BAR_HEIGHT)
                panel_bottom = bottom + 14
            for room in self.rows[row]:
                if room in self.x:
                    self.boxes[room] = (self.x[room] - BOX_WIDTH / 2, top, BOX_WIDTH, BOX_HEIGHT)
            for target, (low, tops) in bundles.items():
                level = bottom + extra + 12 + TRACK * order.index(target) if target in order else None
                arrives = self.row[target] == row
                end = top - 1 if arrives else top + BOX_HEIGHT
                self.bundles.append([[(x, bottom)] + ([] if x == low else [(x, level), (low, level)]) + [(low, end)]
                                     for x in tops])
                if arrives:
                    self.heads.append((low, end))
            bottom = top + (BAR_HEIGHT if row == 1 else BOX_HEIGHT)
        self.boxes['ground'] = (bar[0], bottom + 10, bar[1], BAR_HEIGHT)
        self.height = bottom + 10 + BAR_HEIGHT + 56
        self.panels = {column: (left, panel_top, width, panel_bottom - panel_top)
                       for column, (left, width) in PANELS.items()}


def crossings(order, bundles):
    """Count the crossings of lines that bend at different heights.

    :param order: targets, the highest bend first.
    :param bundles: {target: (x below, [x above])}
    """
    count = 0
    for high, low in itertools.combinations(order, 2):
        spans = [(min([x] + tops), max([x] + tops)) for x, tops in (bundles[high], bundles[low])]
        # The lower one's way up passes the height of the higher one, and the reverse.
        count += sum(spans[0][0] <= x <= spans[0][1] for x in bundles[low][1])
        count += spans[1][0] <= bundles[high][0] <= spans[1][1]
    return count


def path(points):
    """Return the SVG path of a line with rounded corners."""
    parts = ['M{:g} {:g}'.format(*points[0])]
    for before, corner, after in zip(points, points[1:], points[2:]):
        ends = []
        for other in (before, after):
            length = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
            share = min(RADIUS, length / 2) / length
            ends.append(tuple(here + (there - here) * share for here, there in zip(corner, other)))
        parts.append('L{:g} {:g}Q{:g} {:g} {:g} {:g}'.format(*(ends[0] + corner + ends[1])))
    return ''.join(parts + ['L{:g} {:g}'.format(*points[-1])])


def wrapped(purpose, width=27):
    """Break a text into lines of at most ``width`` characters."""
    lines = ['']
    for word in purpose.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append('')
        lines[-1] = (lines[-1] + ' ' + word).strip()
    return lines


def size_text(files, lines):
    """Say how large a room is: '12 files, 1,400 lines'."""
    return '{} file{}, {:,} lines'.format(files, '' if files == 1 else 's', round(lines, -2) or lines)


def text(x, y, content, size, colour, weight=400, anchor='start'):
    """Return a line of text as SVG."""
    return '<text x="{:g}" y="{:g}" font-size="{}" fill="{}" font-weight="{}" text-anchor="{}">{}</text>'.format(
        x, y, size, colour, weight, anchor, escape(content))


def panel(column, place, entries):
    """Return a column's background and heading as SVG; the heading is on the side without arrows."""
    left, top, width, height = place
    heading, fill, _, colour = COLUMNS[column]
    shape = '<rect x="{:g}" y="{:g}" width="{:g}" height="{:g}" rx="10" fill="{}"/>'.format(
        left, top, width, height, fill)
    crossed = any(left + 10 < x < left + 18 + 8.5 * len(heading) for x in entries)
    return ''.join(['<clipPath id="panel-{}">{}</clipPath>'.format(column, shape), shape,
                    text(left + width - 14, top + 20, heading, 11, colour, 700, 'end') if crossed else
                    text(left + 14, top + 20, heading, 11, colour, 700)])


def arrow(lines):
    """Return the lines to one target as SVG, with gaps in the lines that they cross in a panel."""
    d = ''.join(path(points) for points in lines)
    gaps = ['<path d="{}" fill="none" stroke="{}" stroke-width="6" clip-path="url(#panel-{})"/>'.format(
        d, COLUMNS[column][1], column) for column in PANELS]
    return ''.join(gaps) + '<path d="{}" fill="none" stroke="{}" stroke-width="1.5"/>'.format(d, LINE)


def box(room, place, size):
    """Return a room as SVG; its sizes are kept exactly, for :func:`sizes_in`."""
    left, top, width, height = place
    column, purpose = ROOMS[room]
    _, _, fill, border = COLUMNS[column]
    name = {'ground': 'ground', 'wtf': 'wtf.py'}.get(room, room + '/')
    parts = ['<g id="{}" data-files="{}" data-lines="{}">'.format(room, *size),
             '<rect x="{:g}" y="{:g}" width="{:g}" height="{:g}" rx="7" fill="{}" stroke="{}" '
             'stroke-width="1.3"/>'.format(left, top, width, height, fill, border)]
    if column == 'all':
        parts += [text(left + 14, top + 28, name, 16, INK, 600), text(left + 110, top + 28, purpose, 12.5, INK),
                  text(left + width - 14, top + 28, size_text(*size), 10.5, FAINT, anchor='end')]
    else:
        parts += [text(left + 11, top + 20, name, 14.5, INK, 600),
                  text(left + 11, top + height - 9, size_text(*size), 10, FAINT)]
        parts += [text(left + 11, top + 37 + 14.5 * index, line, 11.5, INK)
                  for index, line in enumerate(wrapped(purpose))]
    return ''.join(parts) + '</g>'


def draw(arrows, sizes):
    """Return the drawing as SVG.

    :param arrows: {room: set of the rooms that it imports}, without those that follow from others.
    :param sizes: {room: (files, lines)}, with 'ground'.
    """
    layout = Layout(arrows)
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {:g}" font-family="{}" role="img">'.format(
        WIDTH, layout.height, FONT),
        '<!-- Written by `make drawing` (dev/drawing.py) from the imports. Do not edit. -->',
        '<title>The rooms of src/ua_overlay and who imports whom</title>',
        '<rect width="{}" height="{:g}" fill="#ffffff"/>'.format(WIDTH, layout.height)]
    parts += [panel(column, place, layout.entries) for column, place in layout.panels.items()]
    parts += [arrow(lines) for lines in layout.bundles]
    parts += ['<path d="M{:g} {:g}l-4.5 -8h9z" fill="{}"/>'.format(x, y, LINE) for x, y in layout.heads]
    parts += [box(room, place, sizes[room]) for room, place in layout.boxes.items()]
    parts += [text(MARGIN, layout.height - 30 + 17 * index, line, 11, FAINT) for index, line in enumerate(NOTES)]
    return '\n'.join(parts + ['</svg>', ''])


def sizes_in(svg):
    """Read the sizes back from a drawing: {room: (files, lines)}."""
    return {room: (int(files), int(lines))
            for room, files, lines in re.findall(r'<g id="(\w+)" data-files="(\d+)" data-lines="(\d+)">', svg)}


def main():
    """Write the drawing; returns the exit status."""
    with open(PATH, 'w', encoding='utf-8') as stream:
        stream.write(draw(rooms.reduced(rooms.arrows()), rooms.sizes()))
    print(os.path.relpath(PATH))
    return 0


if __name__ == '__main__':
    sys.exit(main())
