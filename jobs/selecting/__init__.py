"""The best documents of each domain by a rule, joined with a person's own tables. Stage select.

stage.py                     stage select: the best of each domain by a rule
settings.py                  its settings
rule.py                      its rule as limits of documents and tokens
joined_tables.py             the dedup and quality tables that a person has
candidates.py                what a selection chooses from, after the joins
sql/above_threshold.sql      the documents that reach a threshold
sql/with_quality.sql         the quality join
sql/with_cluster.sql         the dedup join
sql/joined_checks.sql        which documents the joined tables do not have, or have twice
sql/one_of_each_cluster.sql  the best document of each cluster
sql/combined_value.sql       a weighted mean of two percentiles
sql/selection_summary.sql    what a selection took of each domain
"""
