"""Text on a person's terminal, and progress.

progress.py  a bar on a terminal, plain lines in a log
display.py   text of documents, safe on a terminal
"""
