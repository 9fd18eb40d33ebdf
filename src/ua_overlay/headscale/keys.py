"""The private keys of Headscale, written before it needs them.

Headscale would write them without a sync (hscontrol/app.go, 0.29: readOrCreatePrivateKey): a power cut soon after its
first start would leave an empty file, with which it never starts again.
"""
import os

from ua_overlay.system import files

#: Below the site's directory: what robots know the server by, and the key of the embedded DERP.
NOISE_KEY = os.path.join('headscale', 'noise.key')
DERP_KEY = os.path.join('headscale', 'derp.key')


def create_missing(directory: str) -> None:
    """Create the keys that do not exist or are empty.

    :param directory: of the site.
    :raises OSError: they cannot be written.
    """
    for name in (NOISE_KEY, DERP_KEY):
        path = os.path.join(directory, name)
        if not os.path.exists(path) or os.path.getsize(path) == 0:
            files.write_secret(path, text_of(os.urandom(32)))


def text_of(secret: bytes) -> str:
    """Return 32 random bytes as tailscale writes a machine's private key (types/key, 1.98: machine.go NewMachine,
    MarshalText; util.go clamp25519Private). Pure."""
    clamped = bytearray(secret)
    clamped[0] &= 248
    clamped[31] = clamped[31] & 127 | 64
    return 'privkey:' + clamped.hex()
