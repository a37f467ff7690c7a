"""What is measured of a model at a checkpoint: one file for each kind of measurement; `kinds` lists the main job's.

Each kind is one record, so that a new one is a file here and a line there (CONTRIBUTING.md shows one).
"""
