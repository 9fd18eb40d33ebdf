"""Headscale's interfaces: REST, configuration, DERP map, policy, sessions and versions.

Runs on the server, without ROS.
"""
