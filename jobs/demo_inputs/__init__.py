"""What the demo reads: real texts and a real model that a package registry has.

corpus.py               real text that any such machine has
model.py                where the demo's model is installed
sql/best_and_worst.sql  both ends of each domain, with their texts' beginnings
"""
