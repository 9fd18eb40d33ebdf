"""What may go out of and come into this machine: the egress rule, and the guard of the ROS ports."""
