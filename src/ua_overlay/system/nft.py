"""Find nft, try and load rules, list tables; failures raise NftError."""
import os
import shutil
import subprocess
from typing import List, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.system import foreign_json

INSTALL = 'sudo apt install nftables'


class NftError(OverlayError):
    """NO_NFT: it is not installed; NOT_ROOT: this user may not use it; NFT: it refused."""

    code = 'NFT'


def search() -> Optional[str]:
    """Return the absolute path of nft, None if it is not installed."""
    return shutil.which('nft', path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')


def find_nft(purpose: str, otherwise: str = '') -> str:
    """Return the absolute path of nft.

    :param purpose: the feature that needs nft, for the error.
    :param otherwise: the end of the error's next command.
    :raises NftError: it is not installed.
    """
    path = search()
    if path is None:
        raise NftError('{} needs nftables; there is no nft on this machine.'.format(purpose), INSTALL + otherwise,
                       'NO_NFT')
    return path


def check(text: str, nft: str) -> None:
    """Let the kernel check the rules in ``text`` without loading them: nft sends them, but not the end of the batch.

    :raises NftError: the kernel has no nf_tables, or not all that the rules need; or this user is not root.
    """
    done = _run([nft, '-c', '-f', '-'], text)
    if done.returncode != 0:
        raise NftError('nft refused: {}.'.format(_first_line(done)), 'sudo nft list tables')


def load(text: str, nft: str, next_command: str = '') -> None:
    """Load the rules in ``text`` with nft, all of them or none.

    :param next_command: the next command of the error.
    :raises NftError: it refused.
    """
    done = _run([nft, '-f', '-'], text)
    if done.returncode != 0:
        raise NftError('nft refused: {}.'.format(_first_line(done)), next_command)


def list_table(table: str, nft: str) -> Optional[str]:
    """Return the table `inet` ``table`` as nft's JSON, None when there is none.

    :raises NftError: nft does not list it.
    """
    return _judge(_run([nft, '-j', 'list', 'table', 'inet', table]))


def refused_packets(listed: str, next_command: str) -> int:
    """Return the number of packets in the counter `refused`.

    :param listed: a table as nft's JSON.
    :param next_command: the command that creates the table again.
    :raises NftError: there is no such counter.
    """
    try:
        return next(int(item['counter']['packets']) for item in foreign_json.parse_object(listed)['nftables']
                    if 'counter' in item and item['counter']['name'] == 'refused')
    except (ValueError, KeyError, TypeError, StopIteration):
        raise NftError('The nftables table was not made by this version of ua-overlay.', next_command)


def _judge(done: 'subprocess.CompletedProcess[str]') -> Optional[str]:
    """Return the result of listing a table, as :func:`list_table` does."""
    if done.returncode == 0:
        return done.stdout
    if 'No such file or directory' in done.stderr:
        return None
    if 'Operation not permitted' in done.stderr:
        raise NftError('Only root can list the rules of nftables.', 'the same command with sudo', 'NOT_ROOT')
    raise NftError('nft cannot list its tables: {}.'.format(_first_line(done)), 'sudo nft list tables')


def _run(argv: List[str], text: Optional[str] = None) -> 'subprocess.CompletedProcess[str]':
    try:
        return subprocess.run(argv, input=text or '', stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              universal_newlines=True, errors='replace', timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NftError('nft cannot be run: {}.'.format(error), INSTALL)


def _first_line(done: 'subprocess.CompletedProcess[str]') -> str:
    words = (done.stderr.strip() or done.stdout.strip() or str(done.returncode)).split('\n')[0].rstrip('.')
    return printable(words)
