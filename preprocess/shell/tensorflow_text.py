"""The reason in an error of TensorFlow's, without importing TensorFlow."""

from __future__ import annotations

import re

_NODES = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]")
_HEADLINE = "Graph execution error"
_WRAPPING = (_HEADLINE, "Detected at node", "<stack traces", "File ")
MAX_CHARACTERS = 200


def error_reason(error: BaseException) -> str:
    """The reason alone, on one line of at most MAX_CHARACTERS; "" if it gives none.

    Its messages wrap it in node names and, where a graph was running, a headline and a trace:

        {{function_node f}} REASON [Op:f]

        Graph execution error:  Detected at node ...  {{function_node f}} REASON
             [[{{node n}}]] [Op:f]
    """
    message = getattr(error, "message", None) or str(error)
    lines = [" ".join(_NODES.sub("", line).split()) for line in message.splitlines()]
    reasons = [line for line in lines if line and not line.startswith(_WRAPPING)]
    if not reasons:
        return ""
    return reasons[-1 if message.lstrip().startswith(_HEADLINE) else 0][:MAX_CHARACTERS]
