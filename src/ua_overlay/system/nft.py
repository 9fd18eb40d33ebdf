"""nft, the program of nftables: found, fed and asked. What it refuses is a sentence."""
import os
import shutil
import subprocess

from ua_overlay.errors import OverlayError

INSTALL = 'sudo apt install nftables'


class NftError(OverlayError):
    """NO_NFT: there is none; NOT_ROOT: it may do nothing for this user; NFT: it refused."""

    code = 'NFT'


def find_nft(purpose='The rule that nothing leaves the site', otherwise=', or the same command with --no-egress'):
    """Absolute path of nft.

    :param purpose: what needs it, for the error; ``otherwise``: the end of its next command.
    :raises NftError: there is none.
    """
    path = shutil.which('nft', path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')
    if path is None:
        raise NftError('{} needs nftables; there is no nft on this machine.'.format(purpose), INSTALL + otherwise,
                       'NO_NFT')
    return path


def load(text, nft, mend=''):
    """Give ``text`` to nft, which takes all of it or nothing.

    :param mend: the next command when it refuses.
    :raises NftError: it refused.
    """
    done = _run([nft, '-f', '-'], text)
    if done.returncode != 0:
        raise NftError('nft refused: {}.'.format(_first_line(done)), mend)


def list_table(table, nft):
    """The table `inet` ``table`` as nft's JSON, None when there is none.

    :raises NftError: it cannot be seen.
    """
    return _judge(_run([nft, '-j', 'list', 'table', 'inet', table]))


def _judge(done):
    """What came of listing a table (CompletedProcess): as :func:`list_table`."""
    if done.returncode == 0:
        return done.stdout
    if 'No such file or directory' in done.stderr:
        return None
    if 'Operation not permitted' in done.stderr:
        raise NftError('Only root can list the rules of nftables.', 'the same command with sudo', 'NOT_ROOT')
    raise NftError('nft cannot list its tables: {}.'.format(_first_line(done)), 'sudo nft list tables')


def _run(argv, text=None):
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
                              timeout=30, **({'stdin': subprocess.DEVNULL} if text is None else {'input': text}))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NftError('nft cannot be run: {}.'.format(error), INSTALL)


def _first_line(done):
    return (done.stderr.strip() or done.stdout.strip() or str(done.returncode)).split('\n')[0].rstrip('.')
