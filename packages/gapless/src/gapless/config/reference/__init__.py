"""What a gapless.toml may say: one source for the page, the JSON Schema and messages."""
