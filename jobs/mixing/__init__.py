"""An index of a training mix: which documents, how often. Stage mix.

stage.py                 stage: an index of a training mix
settings.py              its settings
parts.py                 its two parts
targets.py               how many tokens each part and domain gets
sql/mix_part.sql         a part of a mix with its repeats, in an order drawn by hash
sql/mixture_summary.sql  per part and domain, what a mix holds and what there was
"""
