"""What runs on the server: processes, services, ports, forwarding."""
