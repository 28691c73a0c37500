"""The shipped configurations. Each file has `get_config()` and opens with its command.

Imports trainer.config only. Start reading at demo.py.
"""
