"""Spark and Delta, as every stage uses them.

session.py         the Spark session: the cluster's, or a local one with Delta
spark_errors.py    what an error of Spark says, on one line: the file and the innermost cause
namespace.py       where the tables live, and how they are read and written
failures.py        conflicts with other writers, and workers that die
tasks.py           how many tasks run the model, and with how many threads
caching.py         DataFrames that are computed once and read several times
time_travel.py     tables as they were at one version
statements.py      runs the SQL files of the packages, with bound values and inputs
log4j2.properties  a quiet log for local sessions
"""
