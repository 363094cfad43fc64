"""What the demo reads: real texts and a real model, both from installed packages.

corpus.py               real text in five domains, from installed packages
model.py                where the demo's model is installed
sql/best_and_worst.sql  both ends of each domain, with their texts' beginnings
"""
