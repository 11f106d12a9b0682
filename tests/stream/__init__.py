"""What goes in by every door, and comes out at every sink."""
