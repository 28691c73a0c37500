"""What every command line of the three packages shares.

Finding a command and parsing its flags (cli.py), user errors (errors.py) and the one table of exit
codes (exit_codes.py), and what more than one package needs of files, processes and texts.
Imports the standard library and absl only (and tqdm once a bar is drawn, YAML where it is read), so
that any package may use it at no cost. Start reading at cli.py.
"""
