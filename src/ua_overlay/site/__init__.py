"""The administrator's directory: settings, invitations, backup, CA change, upgrade."""
