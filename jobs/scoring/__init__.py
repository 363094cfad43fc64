"""From documents to scores, in commits that are made once. Stages estimate, score and status.

stage.py                 scores what is not scored yet
settings.py              its settings
modes.py                 what is to be scored: what the source's log adds, or all that differs
source.py                the table that is scored: its documents at one version, its Delta id
history.py               what runs and streams say they have read of it
stream.py                the source as a stream
source_errors.py         errors that stop a run, with what to do
scorers.py               a scorer and its id; which mask, which number format
plan.py                  the model's pandas_udf, and the limits around it
batch_scorer.py          documents in batches, each of which is one commit
pending.py               which documents are still to do, and in which buckets
budget.py                how much text goes into a commit, and how much is read at once
bisection.py             by halves where Python workers fail, down to the document at which they do
commit.py                one append to scores, and the counts of what it added
score_rows.py            documents with what the model makes of them, as rows of scores
run_log.py               the counts and the clock of a run, and the row that it keeps of itself
failures.py              why documents failed, and whether so many did that the run stops
run_report.py            what a run says at its end
estimate.py              tokens, hours and cost before they are spent
status.py                the runs, while they run and afterwards
sql/failures_by_run.sql  failed documents by run and class
"""
