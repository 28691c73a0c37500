"""The shipped configurations. Each file has `get_config()` and opens with its command."""
