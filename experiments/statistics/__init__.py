"""Statistics on arrays: intervals, clusters of curves, permutation, matching, onsets.

Claims, figures and pages share them; nothing here knows models, runs or files.
"""
