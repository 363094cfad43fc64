"""From files, a table or a hub's dataset to documents of the corpus. Stage ingest.

stage.py            stage: files or a table into corpus
settings.py         its settings
read_input.py       what ingest can read, and what it says of what it cannot
files.py            the files that an input names, and what their folders say
checks.py           which of them are read, and whether they are whole
columns.py          which column holds what; the rows that ingest makes of every format
parquet.py          documents from Parquet, by the named columns alone
parquet_footers.py  what columns a Parquet file has, by its own footer
json_lines.py       documents from JSON lines, values as they are written
json_values.py      values of one JSON object as they are written, and what is wrong with them
text.py             documents from text files
report.py           what it did, for a program and for a person
find_input.py       an input by what it is: files, a table, a dataset of a hub or of its cache
hub_datasets.py     datasets of a hub, pinned to a commit, Parquet read by Spark's data source for them
hub_cache.py        those that the hub's cache on this machine holds
hub_lines.py        their JSON lines as they stand, read by the hub's client file by file
sql/documents.sql   the input as corpus will hold it
sql/compared.sql    the input beside what corpus holds
sql/new.sql         what corpus does not hold yet
sql/update.sql      the input in the place of what corpus holds
sql/summary.sql     what was read, by domain
"""
