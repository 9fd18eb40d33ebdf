"""A generated, moving camera picture, raw or as JPEG. It needs no library, so any robot with ROS can make it. Pure.

The scene scrolls upwards by one row of MCUs (16 lines) per frame and begins again at its end. In a JPEG with a restart
interval of one row of MCUs, each row is independent (ITU-T T.81, B.1.1.3 and E.1.4). Every frame has the same coded
rows in another order, so only the first one takes time to code. The stream then measures the network, as with a camera
that codes its pictures itself.
"""
import functools
import math
import random
import struct
from typing import Dict, List, Sequence, Tuple

#: Pixels of an MCU in each direction: luma in full, chroma at half the size (4:2:0), as in image_transport.
MCU = 16
#: Of JPEG, as libjpeg counts it; the default of image_transport.
QUALITY = 80
_ZIGZAG = sorted(range(64), key=lambda position: (
    position // 8 + position % 8, position // 8 if (position // 8 + position % 8) % 2 else position % 8))
#: T.81, tables K.1 and K.2: quantisation, row by row.
_LUMA = (16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
         51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
         120, 101, 72, 92, 95, 98, 112, 100, 103, 99)
_CHROMA_DC = 17
#: A table of Huffman codes: the number of codes of each length, and their symbols. T.81, tables K.3 and K.5.
Huffman = Tuple[Tuple[int, ...], bytes]
_DC: Huffman = ((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0), bytes(range(12)))
_AC: Huffman = ((0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125), bytes.fromhex(
    '01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a'
    '434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9'
    'aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa'))
#: _COSINES[u][x]: cos((2x + 1) u pi / 16), times the factor that makes the transform orthonormal.
_COSINES = [[math.cos((2 * x + 1) * u * math.pi / 16) * (math.sqrt(0.125) if not u else 0.5) for x in range(8)]
            for u in range(8)]
_END, _SIXTEEN_ZEROES = 0x00, 0xF0
#: (Cb, Cr) of an MCU.
Colour = Tuple[int, int]


class Picture:
    """The scene in one size.

    :param width, height: pixels, multiples of 16.
    :param encoding: 'raw' (bgr8, three bytes per pixel) or 'jpeg'.
    """

    def __init__(self, width: int, height: int, encoding: str, seed: int = 7) -> None:
        assert not width % MCU and not height % MCU and encoding in ('raw', 'jpeg')
        self.width, self.height = width, height
        lines, colours = _scene(width, height, random.Random(seed))
        self._raw_rows, self._head = b'', b''
        self._coded_rows: List[bytes] = []
        if encoding == 'raw':
            rows = b''.join(_pixels(line, colours[number // MCU]) for number, line in enumerate(lines))
            # Twice, so that every frame is one slice of it.
            self._raw_rows = rows + rows
        else:
            self._coded_rows = [_coded_row(lines[MCU * row:MCU * (row + 1)], each) for row, each in enumerate(colours)]
            self._head = _head(width, height)

    def frame(self, number: int) -> bytes:
        """The bytes of a frame. ``number``: from 0."""
        first = number % (self.height // MCU)
        return self._raw(first) if self._raw_rows else self._jpeg(first)

    def _raw(self, first: int) -> bytes:
        size, line = 3 * self.width * self.height, 3 * self.width * MCU
        return self._raw_rows[first * line:first * line + size]

    def _jpeg(self, first: int) -> bytes:
        rows = self._coded_rows[first:] + self._coded_rows[:first]
        marks = [b''] + [bytes((0xFF, 0xD0 + number % 8)) for number in range(len(rows) - 1)]
        return b''.join([self._head] + [part for pair in zip(marks, rows) for part in pair] + [b'\xff\xd9'])


def _scene(width: int, height: int, draw: random.Random) -> Tuple[List[bytes], List[List[Colour]]]:
    """(lines of luma, one byte per pixel; colours of every MCU, row by row): slopes, discs, bars, a sensor's noise."""
    discs = [(draw.uniform(0, width), draw.uniform(0, height), draw.uniform(0.03, 0.16) * width, draw.randint(-60, 60))
             for _ in range(24)]
    slope = [round(70 + 80 * x / width + 24 * math.sin(x / 37.0)) for x in range(width)]
    lines = []
    for y in range(height):
        line = list(slope)
        # The scene is cyclic: the last line is the first one's neighbour.
        shade = round(22 * math.sin(2 * math.pi * y / height))
        for centre, middle, radius, more in discs:
            away = min(abs(y - middle), height - abs(y - middle))
            if away < radius:
                half = math.sqrt(radius * radius - away * away)
                for x in range(max(0, int(centre - half)), min(width, int(centre + half))):
                    line[x] += more
        if (y // 40) % 6 == 0:
            line[width // 3:width // 2] = [200 if (x // 8) % 2 else 40 for x in range(width // 3, width // 2)]
        noise = draw.getrandbits(8 * width).to_bytes(width, 'little')
        lines.append(bytes(min(255, max(0, value + shade + (grain >> 4) - 8)) for value, grain in zip(line, noise)))
    colours = [[(128 + round(34 * math.sin(column / 9.0 + 4 * math.pi * MCU * row / height)),
                 128 + round(34 * math.cos(column / 13.0))) for column in range(width // MCU)]
               for row in range(height // MCU)]
    return lines, colours


def _pixels(line: bytes, colours: Sequence[Colour]) -> bytes:
    """A line as bgr8 (JFIF's colours: T.871)."""
    made = bytearray(3 * len(line))
    for position, shift in enumerate((lambda cb, cr: 1.772 * (cb - 128),
                                      lambda cb, cr: -0.344136 * (cb - 128) - 0.714136 * (cr - 128),
                                      lambda cb, cr: 1.402 * (cr - 128))):
        made[position::3] = b''.join(line[MCU * column:MCU * (column + 1)].translate(_brighter(round(shift(*each))))
                                     for column, each in enumerate(colours))
    return bytes(made)


@functools.lru_cache(maxsize=None)
def _brighter(more: int) -> bytes:
    return bytes(min(255, max(0, value + more)) for value in range(256))


def _scaled(value: int) -> int:
    return min(255, max(1, (value * (200 - 2 * QUALITY) + 50) // 100))


def _codes(table: Huffman) -> Dict[int, str]:
    """Symbol -> its code as text of 0 and 1 (T.81, annex C)."""
    codes: Dict[int, str] = {}
    code, symbols = 0, iter(table[1])
    for length, count in enumerate(table[0], 1):
        for _ in range(count):
            codes[next(symbols)] = '{:0{}b}'.format(code, length)
            code += 1
        code <<= 1
    return codes


_DC_CODES, _AC_CODES = _codes(_DC), _codes(_AC)
_STEPS = [_scaled(step) for step in _LUMA]
_CHROMA_STEP = _scaled(_CHROMA_DC)
#: (position, one over its step) in the order in which coefficients are written.
_ORDER = [(position, 1.0 / _STEPS[position]) for position in _ZIGZAG]
_HALVES = [row[:4] for row in _COSINES]


def _eight(a: float, b: float, c: float, d: float, e: float, f: float, g: float, h: float) -> Tuple[float, ...]:
    """The discrete cosine transform of eight values. Cosines are equal or opposite at both ends."""
    s0, s1, s2, s3, d0, d1, d2, d3 = a + h, b + g, c + f, d + e, a - h, b - g, c - f, d - e
    o0, o1, o2, o3 = _HALVES[1], _HALVES[3], _HALVES[5], _HALVES[7]
    t0, t1, u0, u1 = s0 + s3, s1 + s2, s0 - s3, s1 - s2
    two, six = _HALVES[2][0], _HALVES[2][1]
    flat = _HALVES[0][0]
    return ((t0 + t1) * flat, d0 * o0[0] + d1 * o0[1] + d2 * o0[2] + d3 * o0[3], u0 * two + u1 * six,
            d0 * o1[0] + d1 * o1[1] + d2 * o1[2] + d3 * o1[3], (t0 - t1) * flat,
            d0 * o2[0] + d1 * o2[1] + d2 * o2[2] + d3 * o2[3], u0 * six - u1 * two,
            d0 * o3[0] + d1 * o3[1] + d2 * o3[2] + d3 * o3[3])


def _coefficients(rows: Sequence[Sequence[int]]) -> List[int]:
    """The quantised coefficients of a block of eight rows of eight samples, in the order in which they are written."""
    across = [_eight(*row) for row in rows]
    columns = [_eight(*column) for column in zip(*across)]
    # columns[u][v] is at row v, column u.
    flat = [value for row in zip(*columns) for value in row]
    return [round(flat[position] * share) for position, share in _ORDER]


def _amount(value: int) -> Tuple[int, str]:
    """(length, bits as text) of a coefficient: T.81, F.1.2.1."""
    size = abs(value).bit_length()
    return size, '{:0{}b}'.format(value if value > 0 else value + (1 << size) - 1, size) if size else ''


def _block(coefficients: Sequence[int], before: int) -> str:
    """The bits of a block as text; ``before``: the first coefficient of the block before."""
    size, bits = _amount(coefficients[0] - before)
    parts, zeroes = [_DC_CODES[size], bits], 0
    for value in coefficients[1:]:
        if not value:
            zeroes += 1
            continue
        while zeroes > 15:
            parts.append(_AC_CODES[_SIXTEEN_ZEROES])
            zeroes -= 16
        size, bits = _amount(value)
        parts += (_AC_CODES[16 * zeroes + size], bits)
        zeroes = 0
    if zeroes:
        parts.append(_AC_CODES[_END])
    return ''.join(parts)


def _coded_row(lines: Sequence[bytes], colours: Sequence[Colour]) -> bytes:
    """The bytes of a row of MCUs: four blocks of luma, one each of Cb and Cr, which are flat here."""
    bits: List[str] = []
    before = [0, 0, 0]
    for column, colour in enumerate(colours):
        for down in (0, 8):
            for right in (MCU * column, MCU * column + 8):
                luma = _coefficients([lines[down + y][right:right + 8] for y in range(8)])
                # Samples are counted from 128.
                luma[0] = round((luma[0] * _STEPS[0] - 1024) / _STEPS[0])
                bits.append(_block(luma, before[0]))
                before[0] = luma[0]
        for number, value in enumerate(colour, 1):
            flat = round(8.0 * (value - 128) / _CHROMA_STEP)
            bits.append(_block([flat] + [0] * 63, before[number]))
            before[number] = flat
    text = ''.join(bits)
    text += '1' * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, 'big').replace(b'\xff', b'\xff\x00')


def _segment(mark: int, content: bytes) -> bytes:
    return bytes((0xFF, mark)) + struct.pack('>H', len(content) + 2) + content


def _head(width: int, height: int) -> bytes:
    """Everything of a frame before its first row: T.81, B.2, in JFIF's order."""
    tables = b''.join(bytes((kind,)) + bytes(table[0]) + table[1] for kind, table in ((0x00, _DC), (0x10, _AC)))
    steps = bytes((0,)) + bytes(_STEPS[position] for position in _ZIGZAG) + bytes((1,)) + bytes([_CHROMA_STEP] * 64)
    return b''.join((
        b'\xff\xd8', _segment(0xE0, b'JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00'), _segment(0xDB, steps),
        _segment(0xC0, struct.pack('>BHHB', 8, height, width, 3) + bytes((1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1))),
        _segment(0xC4, tables), _segment(0xDD, struct.pack('>H', width // MCU)),
        _segment(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0)))))
