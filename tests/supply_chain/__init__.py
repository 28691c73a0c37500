"""What the two stacks are made of, from their pinned requirements: `make sbom` and `make audit`.

pins.py reads the requirements with hashes, sbom.py writes them as CycloneDX, and audit.py compares
them with a file of advisories. Standard library only, but for `packaging` in audit.py.
"""
