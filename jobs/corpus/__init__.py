"""Documents and their current scores, as the stages read them, and the views over them.

documents.py                documents from corpus or from a table of your own
domains.py                  what domains are called, and which of them a scorer knows
choices.py                  the scorer, selection, mix or mask that was named, or the only one
views.py                    which views there are, and those of a query
scored.py                   what a scorer has scored, as the stages after it read it
sql/current_scores.sql      one score per live document and scorer
sql/live_scores.sql         the scores of texts that documents have now
sql/live_texts.sql          the text that each document has now, as a hash, and its domain
sql/domain_summary.sql      view: scores and failures by domain
sql/score_errors.sql        view: documents that could not be scored
sql/selected_documents.sql  view: selected documents with scorer and rule
"""
