"""From documents to scores, in commits that are made once. Stages estimate, score and status.

stage.py                 stage: score what is not scored yet
settings.py              its settings
plan.py                  a scorer's model as a column, and the limits around it
scorers.py               a scorer and its id; which mask, which number format
batch_scorer.py          from documents to rows of scores, a commit a batch
pending.py               which documents are still to do, and in which batches
score_rows.py            a batch of documents as rows of scores
modes.py                 what is to be scored: what the source's log adds, or all that differs
stream.py                the source as a stream
source_errors.py         what stops a run, and what to do then
source.py                the source's Delta id and version, and what runs have read of it
run_log.py               the row that a run keeps of itself
estimate.py              stage: tokens, hours and cost before they are spent
status.py                stage: the runs, while they run and afterwards
sql/failures_by_run.sql  failed documents by run and class
"""
