"""The control server of a site: settings, Headscale's configuration and policy, its REST interface, the processes.

Imports `trust` and `tailscale`, never ROS. Runs on a server without ROS.
"""
