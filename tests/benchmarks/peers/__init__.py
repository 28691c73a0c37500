"""Other readers of the same JPEGs, each as its documentation has it; see bench_peers.py.

Imports the libraries of requirements.txt here, which stand in an environment of their own (`make
bench-peers`), and of the project what needs neither TensorFlow nor Beam. One file a library, whose
`batches()` yields the size of each batch; decoding in Python is simplejpeg's, the fastest there is.

Start reading at read.py.
"""
