"""What is learned: records, head, loss, metric, figures and report parts, a file a task.

`task.py` says what a task has; trainer/config/task_table.py lists them. Imports the readers, the
heads, losses, metrics and the report's drawing. Start reading at task.py.
"""
