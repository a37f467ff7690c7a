"""Statistics of estimates and of tables: errors, intervals, matching, permutation, onsets."""
