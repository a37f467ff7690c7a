"""What findings are made of: the runs that are looked at together, what they rest on, and what a claim returns."""
