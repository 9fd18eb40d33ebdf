"""The exit statuses of `ua-overlay`. `exec` and `lab exec` return the status of their command."""

DONE = 0
#: The command failed; standard error has the reason and the next command.
FAILED = 1
#: The command line or a file is invalid; errors.UsageError has this status, too.
INVALID = 2
#: There is nothing to show: no team, no environment, no lab, no guard.
NOTHING = 3
#: It works, but needs attention: a warning of `doctor`, an invalid site.yaml, a certificate that expires soon.
ATTENTION = 4
