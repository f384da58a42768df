"""Review: which figures readers look at, what they say of them, and what the counts are once they have."""
