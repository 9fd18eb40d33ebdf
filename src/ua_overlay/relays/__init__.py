"""Peer relays and DERPs, on the server and on remote hosts."""
