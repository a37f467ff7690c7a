"""What a measurement is, what it is made on, and where it is kept.

The plan and the inputs of a run, the record `Kind`, and the cells of all kinds, each a file under a key that names by
content all that it depends on. The committed sweep is such cells of the bundled runs.
"""
