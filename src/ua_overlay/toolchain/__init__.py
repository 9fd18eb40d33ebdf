"""The external programs that ua_overlay needs: tailscale, tailscaled, derper, headscale.

Programs on the PATH are used if they are new enough; otherwise builds of the Go modules that are pinned under
``toolchain/``.
"""
from ua_overlay.toolchain.find import locate

__all__ = ('locate',)
