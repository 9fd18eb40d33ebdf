"""Peer relays and DERPs, beside Headscale and on remote hosts."""
