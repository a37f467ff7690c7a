"""Functions whose learning coefficient is published: normal crossings, and small tanh networks."""
