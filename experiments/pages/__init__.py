"""What was measured as people read it: the report, pages, tables and text for a terminal.

All pages have one look, `shell`; none measures anything by itself.
"""
