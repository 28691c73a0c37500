"""Where this user's own notes are kept: $SHARDLINE_STATE, or ~/.local/state/shardline."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """The folder, which need not exist yet."""
    if given := os.environ.get("SHARDLINE_STATE"):
        return Path(given)
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "shardline"
