"""Datasets of a hub: their names, and what its clients raise.

errors.py  what a hub's clients raise, in one line
"""
