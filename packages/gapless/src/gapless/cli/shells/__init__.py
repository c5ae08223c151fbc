"""What verbs and their arguments are to a shell, and to a reader of man pages."""
