"""One shard: its plan, decode, augment, encode, write, its commit marker; and reading it back.

Plain functions of a plan: no Beam, no command line. Imports sources, augment, pictures, storage
and the contract. Start reading at build_shard.py.
"""
