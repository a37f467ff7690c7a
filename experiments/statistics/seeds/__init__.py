"""Tests in which the training seed is the unit: a mean over seeds, what it could have shown, and many such tests."""
