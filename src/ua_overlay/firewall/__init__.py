"""Rules of nftables: what may leave this machine (the egress rule), and what may come in (the guard of ROS)."""
