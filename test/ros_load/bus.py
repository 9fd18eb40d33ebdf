#!/usr/bin/python3
"""Prints how many messages the recorders of bags got and how many their queues dropped, by topic (getBusStats)."""
from xmlrpc.client import ServerProxy

import rosgraph
from record import record

master = rosgraph.Master('/bus')
nodes = {node for _, subscribers in master.getSystemState()[1] for node in subscribers if node.startswith('/record_')}
for node in nodes:
    # roscpp answers without a code: [publishers, subscribers]; a connection is [id, bytes, messages, dropped, 0].
    _, subscriptions = ServerProxy(master.lookupNode(node)).getBusStats('/bus')
    for topic, connections in subscriptions:
        record(recorded=topic, n=sum(connection[2] for connection in connections),
               dropped=sum(connection[3] for connection in connections))
