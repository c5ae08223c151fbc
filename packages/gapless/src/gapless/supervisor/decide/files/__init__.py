"""Files that two generations may not have both: which they are, and when to look."""
