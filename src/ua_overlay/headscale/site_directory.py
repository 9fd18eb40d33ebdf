"""The interface of a site's directory for the rooms below `site`; site.site.Site implements it."""
from typing import ContextManager, Protocol

from ua_overlay.headscale.site_settings import SiteSettings


class SiteFiles(Protocol):
    """The paths below a site's directory."""

    def path(self, *parts: str) -> str:
        """Return the absolute path of a file below the directory."""
        ...


class SiteDirectory(SiteFiles, Protocol):
    """A site as its programs read it."""

    #: Replaced as a whole when a relay or DERP region is added or removed.
    settings: SiteSettings

    @property
    def directory(self) -> str:
        """The absolute path of the directory."""
        ...

    @property
    def ca_file(self) -> str:
        """The path of ca.pem: the certificates to trust."""
        ...

    @property
    def config_file(self) -> str:
        """The path of headscale.yaml."""
        ...

    @property
    def api_key_file(self) -> str:
        """The path of the key for Headscale's REST interface."""
        ...

    @property
    def control_socket(self) -> str:
        """The path of the socket of the running server."""
        ...

    @property
    def relay_control_socket(self) -> str:
        """The path of the socket of the running `server relay run`."""
        ...

    @property
    def relay_socket(self) -> str:
        """The path of the LocalAPI socket of the relay's tailscaled."""
        ...

    def command(self, text: str) -> str:
        """Return the full command line for this site: 'ua-overlay server run --dir DIR'."""
        ...

    def start_command(self) -> str:
        """Return the command that starts the server of this site."""
        ...


class ChangeableSite(SiteDirectory, Protocol):
    """A site whose settings commands can change."""

    def changing(self) -> ContextManager[None]:
        """Lock the site against other changes; the settings are read again after the lock is taken."""
        ...

    def write_settings(self) -> None:
        """Write site.yaml."""
        ...
