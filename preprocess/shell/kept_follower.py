"""What `launch train --augment_workers` says to the training that it keeps a follower next to."""

from __future__ import annotations

HOW_TO_FOLLOW = "SHARDLINE_HOW_TO_FOLLOW"
"""The variable with what the training advises where no follower is at work."""
