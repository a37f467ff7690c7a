"""Statistics of maps of tokens: the maps themselves, what lies near what, and what an axis tells apart."""
