"""The proof of encryption in a results directory."""
import json

import pytest

from ua_overlay.measure.report import encryption
from ua_overlay.measure.report.parts import Packets, Table

POINT = {'host': 'dev-<1>', 'interface': 'eth0', 'inside': False, 'packets': 3, 'found': 0, 'in_streams': 0,
         'kinds': {'WireGuard data': {'packets': 3, 'bytes': 300}}, 'entropy': 7.98}
PICTURE = {'inner': b'E'.hex(), 'outer': b'E'.hex(), 'header': 28, 'kind': 'WireGuard data'}
PROOF = {'schema': 1, 'proven': True, 'runs': [
    {'link': 'raw', 'canary': '1f' * 32, 'ok': False, 'why': ['The search is blind.'], 'picture': None, 'places': []},
    {'link': 'DIRECT', 'canary': '1f' * 32, 'ok': True, 'why': [], 'picture': PICTURE, 'places': [POINT]}]}


@pytest.mark.parametrize('name', encryption.FILES)
def test_proof_beside_or_below_the_results(tmp_path, name):
    (tmp_path / 'encryption').mkdir()
    (tmp_path / name).write_text(json.dumps(PROOF))
    assert encryption.load(str(tmp_path)) == PROOF


def test_no_proof(tmp_path):
    assert encryption.load(str(tmp_path)) is None and encryption.part(None) is None


@pytest.mark.parametrize('content', ['{"runs": [{}], "proven": true}', 'no', '[]'])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / 'encryption.json').write_text(content)
    with pytest.raises(encryption.ProofError, match='encryption.json is not a proof of encryption.'):
        encryption.load(str(tmp_path))


def test_each_run_has_its_outcome_and_its_captures():
    part = encryption.part(PROOF)
    words = words_of_texts(part)
    assert 'Past the tunnel, where every host on the path must be able to read it: not proven.' in words
    assert 'The search is blind.' in words and 'DIRECT: as expected.' in words
    assert [item.rows for item in part.items if isinstance(item, Table)] == [
        (), (('dev-<1>', 'eth0', 'outside', '3', '0', '0', '7.98', '3 WireGuard data'),)]
    assert [item.run['link'] for item in part.items if isinstance(item, Packets)] == ['DIRECT']
    assert 'The proof is NOT complete.' in words_of_texts(encryption.part(dict(PROOF, proven=False)))


def words_of_texts(part):
    return '\n'.join(item for item in part.items if isinstance(item, str))
