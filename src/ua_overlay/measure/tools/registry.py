"""The list of tools. A new tool is one module of this package, with its class as `TOOL`, and one line here."""
import importlib
from typing import Dict, Type

from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.tool import Tool

#: Modules of this package, in the order of reports.
_MODULES = (
    'iperf_tcp',
    'ping',
    'iperf_udp',
    'ros_topic',
    'ros_service',
    'ros_video',
)


def _load(module: str) -> Type[Tool]:
    tool: Type[Tool] = importlib.import_module('ua_overlay.measure.tools.' + module).TOOL
    return tool


#: Kind of tool -> its class.
TOOLS: Dict[str, Type[Tool]] = {tool.kind: tool for tool in map(_load, _MODULES)}


def metrics() -> Dict[str, Metric]:
    """Key -> metric, of every tool, in the order of reports."""
    return {metric.key: metric for tool in TOOLS.values() for metric in tool.metrics}
