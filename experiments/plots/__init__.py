"""Pictures of plain data: each file has one `draw`, which returns a figure and neither computes nor writes."""
