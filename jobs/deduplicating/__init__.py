"""Clusters of equal and nearly equal texts. Stage dedup.

stage.py                    stage: clusters of equal and nearly equal texts
near_duplicates.py          pairs of texts that share most of their shingles
minhash.py                  which texts share a bucket, and with what probability
components.py               which documents are connected, directly or through others
sql/signatures.sql          the buckets that a text falls into
sql/exact.sql               one document for all of the same text
sql/buckets.sql             each text in its buckets
sql/cost.sql                how many comparisons the buckets ask for
sql/candidates.sql          the pairs that share a bucket
sql/pairs.sql               the candidates that are similar
sql/large_star.sql          links larger neighbours to the smallest
sql/small_star.sql          links smaller neighbours to the smallest
sql/unsettled_edges.sql     whether clusters still change
sql/duplicates.sql          every document's cluster
sql/duplicates_summary.sql  documents and clusters by kind
"""
