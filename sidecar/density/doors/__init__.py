"""Ways to offer events, and to see their ends."""
