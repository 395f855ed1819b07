"""The commands, one a file: what each asks for, what it prints."""
