"""What `--json` prints, as types: the JSON Schema of each verb is made from them."""
