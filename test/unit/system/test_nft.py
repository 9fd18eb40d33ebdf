"""nft as a program: its errors become one sentence."""
import json
import os
import shutil
import subprocess
import sys

import pytest

from ua_overlay.system import nft
from ua_overlay.system.nft import NftError


def program(tmp_path, script):
    path = tmp_path / 'nft'
    path.write_text('#!/bin/sh\n' + script)
    path.chmod(0o755)
    return str(path)


def test_a_missing_nft_names_the_package(monkeypatch):
    monkeypatch.setattr(nft.shutil, 'which', lambda *_, **__: None)
    with pytest.raises(NftError) as caught:
        nft.find_nft('The guard', '')
    assert caught.value.code == 'NO_NFT' and caught.value.next_command == 'sudo apt install nftables'
    assert 'The guard needs' in caught.value.sentence and nft.search() is None


def test_an_error_of_nft_is_one_sentence(tmp_path):
    refusing = program(tmp_path, 'echo "Error: No such thing" >&2\nexit 1\n')
    with pytest.raises(NftError) as caught:
        nft.load('flush', refusing, 'do that')
    assert 'No such thing' in caught.value.sentence and caught.value.next_command == 'do that'
    with pytest.raises(NftError):
        nft.list_table('x', refusing)
    with pytest.raises(NftError):
        nft.load('flush', str(tmp_path / 'none'))


@pytest.mark.skipif(shutil.which('nft') is None or os.geteuid() != 0, reason='The real nft, as root.')
def test_a_missing_table_differs_from_a_missing_permission():
    code = 'from ua_overlay.system import nft; print(nft.list_table("none_such", nft.search()))'
    done = subprocess.run(['unshare', '--net', sys.executable, '-c', code], stdout=subprocess.PIPE,
                          universal_newlines=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.stdout == 'None\n'
    nobody = subprocess.run([nft.search(), '-j', 'list', 'table', 'inet', 'none_such'], user='nobody',
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    with pytest.raises(NftError) as caught:
        nft._judge(nobody)
    assert caught.value.code == 'NOT_ROOT'


def test_refused_packets():
    text = json.dumps({'nftables': [{'metainfo': {}}, {'table': {}}, {'counter': {'name': 'refused', 'packets': 7}}]})
    assert nft.refused_packets(text, 'guard on') == 7
    for other in ('', '{}', json.dumps({'nftables': []})):
        with pytest.raises(NftError) as caught:
            nft.refused_packets(other, 'guard on')
        assert caught.value.next_command == 'guard on'
