"""Peer relays and DERP servers, on the site's server and on remote hosts."""
