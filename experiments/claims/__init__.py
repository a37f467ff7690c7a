"""The twelve claims: a statistic, a null, a criterion fixed before looking, and one word for each."""
