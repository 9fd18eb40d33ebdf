"""On the server: delete a robot over Headscale's API. usage: forget.py SITE ROBOT"""
import sys

from ua_overlay.headscale import access
from ua_overlay.site.site import Site
from ua_overlay.toolchain import locate

client = access.connect(Site.load(sys.argv[1]), lambda: locate('headscale'))
for node in client.nodes():
    if node.name == sys.argv[2]:
        client.delete_node(node.id)
