"""Datasets of a hub: their names, and what its clients raise.

address.py  how a dataset is named
errors.py   what a hub's clients raise, in one line
"""
