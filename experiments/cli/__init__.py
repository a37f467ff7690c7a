"""The command line: one file for each verb, the flags that several share, and what these open.

Verbs read arguments, call the other folders and print where the results are; they measure nothing themselves.
"""
