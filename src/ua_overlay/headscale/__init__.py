"""What Headscale takes and reports: its REST interface, configuration, DERP map, policy, sessions and versions.

Runs on the server, without ROS.
"""
