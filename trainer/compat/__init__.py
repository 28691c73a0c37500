"""What differs between the two stacks, and what keeps their start-up noise away.

The default stack is TensorFlow 2.15 with Keras 2.15, the next one TensorFlow 2.21 with tf-keras
(requirements.txt and requirements-next.txt). The only room that may ask which of them this is;
each module says why its difference exists and when it can go. Imports nothing of ours but the
shell. Start reading at legacy_keras.py.
"""
