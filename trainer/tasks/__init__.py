"""Tasks: what a model learns. One file each has its records, head, loss, metric and report parts.

task.py defines the interface; trainer/config/task_table.py lists the tasks. Imports the readers,
heads, losses, metrics and the report's drawing. Start reading at task.py.
"""
