# Imported by beside_a_module.py; no worker can import it.
FACTOR = 3


def triple(x):
    return FACTOR * x
