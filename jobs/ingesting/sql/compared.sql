-- One row for each doc_id read: how often it was read, and what corpus already holds under it.
-- :compares_sources is true where another source alone is a reason to write; else no source is read from corpus.
with documents as (select * from {documents}),
corpus as (select * from {corpus}),
distinct_documents as (
    select
        doc_id,
        count(*) as num_rows,
        min(struct(domain, source, text_sha256)) as chosen,
        count_if(was_repaired) as num_repaired,
        count(problem) as num_problems,
        min(problem) as first_problem,
        bool_or(has_id) as has_id,
        bool_or(has_text) as has_text,
        bool_or(has_domain) as has_domain,
        bool_or(source is not null) as has_source
    from documents
    group by doc_id
)
select
    d.doc_id,
    d.chosen.domain,
    d.num_rows,
    d.num_repaired,
    d.num_problems,
    d.first_problem,
    d.has_id,
    d.has_text,
    d.has_domain,
    d.has_source,
    corpus.doc_id is not null as is_present,
    corpus.doc_id is not null and corpus.text_sha256 <> d.chosen.text_sha256 as has_other_text,
    corpus.doc_id is not null and corpus.domain <> d.chosen.domain as has_other_domain,
    :compares_sources and corpus.doc_id is not null and not corpus.source <=> d.chosen.source as has_other_source
from distinct_documents as d
left join corpus on corpus.doc_id = d.doc_id
