"""Verbs that print what editors, shells and man(1) read."""
