"""From files, a table or a hub's dataset to documents of the corpus. Stage ingest.

stage.py            reads an input, compares it with the corpus, adds what is new
settings.py         the settings of ingest
upgrade.py          a corpus of an older version, brought up to date
report.py           what was read and added, for programs and for people
find_input.py       what kind of input it is: files, a table, a hub's dataset, or its cache
read_input.py       the documents of files or of a table, and messages for what cannot be read
files.py            the files that an input names, and what their folders' names say
checks.py           which of the files are read; cut files, broken links, unknown compressions
columns.py          which column holds what, and the rows that every format becomes
parquet.py          documents from Parquet, of the named columns alone
parquet_footers.py  the columns of Parquet files, from their footers
json_lines.py       documents from JSON lines
json_values.py      values of a JSON object as they are written, and why a line is no document
text.py             documents from text files
hub_datasets.py     files of a hub's dataset at one commit; Parquet by Spark's data source for hubs
hub_cache.py        the same from the hub's cache on this machine
hub_lines.py        JSON lines of a hub's files, streamed by the hub's client
sql/documents.sql   the input as rows of corpus
sql/compared.sql    the input beside the corpus
sql/summary.sql     what was read, by domain
sql/new.sql         what the corpus does not have yet
sql/update.sql      the input in place of what the corpus has
"""
