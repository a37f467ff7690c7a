"""Pictures of numbers that are given: each file draws one, and `style` is the look that all share.

Nothing here asks for measurements, so that figures, pages and cards can draw the same.
"""
