"""What was measured as people read it: the report, pages, tables and text for a terminal.

All pages are records that `layout` puts into one template; none measures anything by itself.
"""
