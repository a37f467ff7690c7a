"""Verbs of the command line: HELP, add_arguments(parser), run(arguments)."""
