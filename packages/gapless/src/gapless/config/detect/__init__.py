"""What app a directory holds, seen by names and beginnings of files: `gapless init`."""
