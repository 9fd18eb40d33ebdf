"""The part of a report on the proof of encryption stored with the results."""
import os
from typing import List, Optional

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.measure.report.parts import Item, Packets, Part, Table
from ua_overlay.protocols import JsonObject
from ua_overlay.system import foreign_file, foreign_json
from ua_overlay.wire import encryption_page

#: Paths of a proof below a results directory; `measure encryption --output RESULTS/encryption` writes the second one.
FILES = ('encryption.json', os.path.join('encryption', 'encryption.json'))
#: Longest proof, in bytes: it has the packets of its pictures.
_LONGEST = 64 * 1024 * 1024


class ProofError(OverlayError):
    """The file with the results is not a proof of encryption."""

    code = 'MEASURE_REPORT'


def load(directory: str) -> Optional[JsonObject]:
    """The proof of a results directory, as encryption.as_json has it; None without one.

    :raises ProofError: naming the file.
    """
    for path in (os.path.join(directory, name) for name in FILES):
        try:
            # It has the captured packets.
            proof: JsonObject = foreign_json.parse_object(foreign_file.read(path, _LONGEST).data)
            # These two read every value that a report reads.
            encryption_page.section(proof)
            part(proof)
            return proof
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ProofError('{} is not a proof of encryption.'.format(path), command('ls -l {}', directory))
    return None


def part(proof: Optional[JsonObject]) -> Optional[Part]:
    """The Part, None without a proof."""
    if proof is None:
        return None
    items: List[Item] = [
        'A page with a random canary went from one robot to the other while all packets were captured. ' + (
            'It was readable inside the tunnel and nowhere outside; past the tunnel it was readable.'
            if proof['proven'] else 'The proof is NOT complete.')]
    for run in proof['runs']:
        items.append('{}: {}.'.format(encryption_page.name_of(run), encryption_page.outcome_of(run)))
        items += run['why']
        items.append(Table('Captures', tuple(name.lower() for name in encryption_page.HEADERS), tuple(
            tuple('-' if cell in (None, '') else str(cell) for cell in row) for row in encryption_page.rows(run))))
        if run['picture']:
            items.append(Packets(run))
    return Part('Proof of encryption', tuple(items))
