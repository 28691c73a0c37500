"""What every command line of the three packages shares.

Finding a command and parsing its flags (cli), user errors (errors) and the one table of exit codes
(exit_codes), and what more than one package needs of files, processes and texts.
Imports the standard library and absl only (and tqdm once a bar is drawn, YAML where it is read), so
that any package may use it at no cost.
Start reading at cli.py.
"""
