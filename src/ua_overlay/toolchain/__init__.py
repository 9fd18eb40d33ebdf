"""The programs that ua_overlay needs from others: tailscale, tailscaled, headscale.

Found on the PATH when new enough, otherwise built from the Go modules pinned under ``toolchain/``.
"""
from ua_overlay.toolchain.find import locate  # noqa: F401
