"""Spark SQL over the namespace's tables and views. Stages sql and views.

views.py  stage: views in a schema; sql has them without it
sql.py    stage: Spark SQL by bare table names
"""
