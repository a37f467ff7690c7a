"""In-context linear regression: when a small transformer learns to regress, and when it learns its training tasks."""
