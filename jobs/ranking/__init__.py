"""Documents in order within their domains. Stage rank; select and mix use its bins and cut-offs, too.

stage.py                  stage: rank within domains
ranks.py                  ranks within domains, by a window or in bins
columns.py                which columns ranks come from, and how the others travel with them
bins.py                   large domains in bins that follow each other in order
order.py                  the first documents of each domain, by a window or in bins
cutoffs.py                the best documents of each domain up to a limit, without ranking the rest
sql/ranked_by_window.sql  ranks, sizes, percentiles and tokens: the definition
sql/within_limits.sql     the best of each domain up to a limit, by their ranks
sql/ranked_in_bins.sql    the same rows for large domains
sql/bin_sample.sql        a sample by which bin edges are chosen
sql/bin_sizes.sql         documents and tokens of each bin
sql/with_id_bin.sql       documents of equal values divided among bins by their ids
sql/first_excluded.sql    the first document of each domain beyond its limit, found in one bin
sql/before_excluded.sql   the documents before it
sql/ranking_summary.sql   each domain's best and worst
"""
