"""A training mix with its texts as shuffled shards. Stage export.

stage.py          stage: a training mix as shuffled shards of files, with its texts
mixture.py        which mix, and whether its texts are still those that were scored
shards.py         writes the shards, reads them back, compares them with the mix
hub_upload.py     uploads a finished export to a dataset of a hub, in one commit
lines.py          shards of JSON lines with zstd, by PyArrow
folder.py         the folder, local or remote, and how an unfinished one is marked
card.py           the data card, with hostile names escaped
card.md.jinja     its template
sql/mixtures.sql  the mixes that there are
sql/compared.sql  the documents of a mix compared with the texts that there are now
sql/rows.sql      each copy with its text and the key of the shuffled order
sql/expected.sql  what the shards must hold
sql/written.sql   what they hold
"""
