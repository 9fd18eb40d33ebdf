"""The part of Headscale's REST interface that the site's commands need; rest.RestClient implements it."""
import datetime
from typing import Callable, Dict, Iterable, List, Optional, Protocol, Set

from ua_overlay.headscale.model import Node, PreAuthKey


class HeadscaleApi(Protocol):
    """Nodes, users, keys and the policy of one site. Every call may raise rest.RestError."""

    def nodes(self) -> List[Node]:
        """Return every node, sorted by name."""
        ...

    def expire_node(self, node_id: str) -> None:
        """End a node's session."""
        ...

    def delete_node(self, node_id: str) -> None:
        """Forget a node."""
        ...

    def set_tags(self, node_id: str, tags: Iterable[str]) -> Node:
        """Replace all tags of a node; return the changed node."""
        ...

    def known_tags(self, node_id: str, tags: Iterable[str]) -> Set[str]:
        """Return those of ``tags`` that the policy in force declares, without changing anything."""
        ...

    def users(self) -> Dict[str, str]:
        """Return the id of every user by name."""
        ...

    def create_user(self, name: str) -> str:
        """Create a user; return the id."""
        ...

    def create_key(self, tags: Iterable[str], expiration: datetime.datetime,
                   user_id: Optional[str] = None) -> PreAuthKey:
        """Create a single-use key, for tags or for a machine of a user."""
        ...

    def keys(self) -> List[PreAuthKey]:
        """Return every key, masked."""
        ...

    def expire_key(self, key_id: str) -> None:
        """Revoke a key."""
        ...

    def check_policy(self, policy_text: str) -> None:
        """Raise RestError if Headscale would refuse the policy, without changing anything."""
        ...


#: Opens the REST interface of the running server; may raise rest.RestError.
Connect = Callable[[], HeadscaleApi]
