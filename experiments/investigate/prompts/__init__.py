"""One text of the user's own at a checkpoint, as `Investigation.on` gives it: `prompt` shows itself, `measures` is what
is measured, `without` the same text with heads and paths removed.
"""
