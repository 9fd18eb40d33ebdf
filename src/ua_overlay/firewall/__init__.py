"""Rules of nftables for outgoing (the egress rule) and incoming connections (the guard of ROS)."""
