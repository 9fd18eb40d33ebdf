"""Trust between the parts of a site: its CA, the server's certificate, invitations, and the names that people choose.

Needs python3-cryptography 2.8 and PyYAML 5.3.
"""
