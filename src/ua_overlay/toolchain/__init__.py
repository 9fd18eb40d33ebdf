"""The programs of other projects that ua_overlay needs: tailscale, tailscaled, derper, headscale.

Those on the PATH are used when they are new enough; otherwise builds of the Go modules pinned under ``toolchain/``.
"""
from ua_overlay.toolchain.find import locate

__all__ = ('locate',)
