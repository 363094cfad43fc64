"""Spark and Delta, as every stage uses them.

session.py         the Spark session: the cluster's, or a local one with Delta
spark_errors.py    what an error of Spark says, on one line: the file and the innermost cause
namespace.py       where the tables live, and how they are read and written
table_names.py     names of tables as people write them and as SQL has them
conflicts.py       commits that conflict with those of other writers, tried again
worker_errors.py   what ends a Python worker, and whether a document can be the cause
tasks.py           how many tasks run the model, with how many threads, and how many shuffle rows each
caching.py         DataFrames that are computed once and read several times
time_travel.py     the newest version of a table, and tables as they were at one version
statements.py      runs the SQL files of the packages, with bound values and inputs
log4j2.properties  a quiet log for local sessions
"""
