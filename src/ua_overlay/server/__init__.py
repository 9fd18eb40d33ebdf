"""The server's processes, services, ports and port forwarding."""
