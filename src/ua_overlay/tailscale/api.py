"""What each consumer uses of tailscaled's LocalAPI: `localapi.LocalApi` in production, a fake daemon in tests.

Every call can raise the errors of `localapi`, all subclasses of OverlayError.
"""
from typing import Any, Iterator, Optional, Protocol, Tuple, TypeVar

from ua_overlay.protocols import Json, JsonObject
from ua_overlay.tailscale.model import PingResult

_Bus = TypeVar('_Bus', bound='MessageBus')


class MessageBus(Protocol):
    """The messages of the daemon's bus (ipn.Notify as dicts); see `localapi.Bus`."""

    def next(self, timeout: Optional[float] = None) -> Optional[JsonObject]:
        ...

    def close(self) -> None:
        ...

    def release(self) -> None:
        ...

    def __iter__(self) -> Iterator[Optional[JsonObject]]:
        ...

    def __enter__(self: _Bus) -> _Bus:
        ...

    def __exit__(self, *exc_info: object) -> None:
        ...


class PingApi(Protocol):
    """For `ping`."""

    def ping(self, address: str, *, timeout: float = ...) -> PingResult:
        ...


class WatcherApi(Protocol):
    """For `watcher`."""

    def status(self) -> JsonObject:
        ...

    def user_metrics(self) -> bytes:
        ...

    def watch(self) -> MessageBus:
        ...

    def close(self) -> None:
        ...


class StatusApi(Protocol):
    """For membership: whether tailscaled answers."""

    def status(self, peers: bool = ...) -> JsonObject:
        ...


class LogoutApi(StatusApi, Protocol):
    """For `old_paths`; `profiles` requires root or the operator."""

    def profiles(self) -> Tuple[Json, Json]:
        ...


class OperatorApi(Protocol):
    """For `operator`."""

    def watch(self, mask: int) -> MessageBus:
        ...

    def edit_prefs(self, **fields: Any) -> JsonObject:
        ...


class HomeApi(Protocol):
    """For `home_derp`."""

    def status(self, peers: bool = ...) -> JsonObject:
        ...

    def whois(self, address: str) -> JsonObject:
        ...

    def client_metrics(self) -> bytes:
        ...

    def debug(self, action: str) -> None:
        ...


class PathApi(Protocol):
    """For the path keeper; `debug` requires root or the operator."""

    def ping(self, address: str, kind: str = ..., timeout: float = ..., size: int = ...) -> PingResult:
        ...

    def debug(self, action: str) -> None:
        ...


class MembershipApi(Protocol):
    """For membership.join and membership.leave; calls that write require root or the operator."""

    def status(self, peers: bool = ...) -> JsonObject:
        ...

    def prefs(self) -> JsonObject:
        ...

    def edit_prefs(self, **fields: Any) -> JsonObject:
        ...

    def start(self, auth_key: Optional[str] = ..., update_prefs: Optional[JsonObject] = ...) -> None:
        ...

    def login_interactive(self) -> None:
        ...

    def logout(self, timeout: Optional[float] = ...) -> None:
        ...

    def watch(self) -> MessageBus:
        ...


class StateApi(Protocol):
    """For `state_file`; edit_prefs requires root or the operator."""

    def status(self, peers: bool = ...) -> JsonObject:
        ...

    def edit_prefs(self, **fields: Any) -> JsonObject:
        ...


class IdentityApi(Protocol):
    """For membership.new_identity; every call but `status` requires root or the operator."""

    def status(self, peers: bool = ...) -> JsonObject:
        ...

    def profiles(self) -> Tuple[Json, Json]:
        ...

    def reset_auth(self) -> None:
        ...


class ObserverApi(PingApi, Protocol):
    """For the checks (`ua-overlay doctor`, roswtf): read-only calls, from several threads."""

    def status(self, peers: bool = ...) -> JsonObject:
        ...

    def prefs(self) -> JsonObject:
        ...

    def whois(self, address: str) -> JsonObject:
        ...

    def derp_map(self) -> JsonObject:
        ...
