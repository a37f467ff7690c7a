"""Results as text, tables and self-contained pages, in words that a reader of the field knows."""
