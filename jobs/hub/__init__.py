"""Datasets of a hub: their names, and the errors of its clients.

address.py  how a dataset is named
errors.py   errors of a hub's clients, each in one line
"""
