"""The relay: it holds connections that were taken from old generations (DESIGN.md)."""
