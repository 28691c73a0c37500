"""TensorFlow's traffic between processes goes straight to them, never through a web proxy.

gRPC, by which workers talk, takes $https_proxy or $http_proxy for itself, even for localhost, where
$no_proxy does not name the host. A proxy for the web cannot carry that, and the workers wait for
each other forever. gRPC looks at $grpc_proxy first, and an empty one means none. What is fetched
over HTTP (buckets, hub modules) still uses the proxies.
"""

from __future__ import annotations

import os

VARIABLE = "grpc_proxy"
_FOR_THE_WEB = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def bypass_proxies() -> None:
    """To be called before TensorFlow opens a channel; a proxy set for gRPC itself stands."""
    if any(os.environ.get(name) for name in _FOR_THE_WEB):  # gRPC prints a line about an empty one
        os.environ.setdefault(VARIABLE, "")


def proxy_note() -> str:
    """What to say where workers cannot reach each other: "; ..." where a proxy is set for gRPC."""
    proxy = os.environ.get(VARIABLE, "")
    if not proxy:
        return ""
    return (
        f"; {VARIABLE}={proxy} sends what workers say to each other through that proxy: unset it, "
        "or name their hosts in no_grpc_proxy"
    )
