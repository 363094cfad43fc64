-- One row per document of a mix: whether the text that was scored is still there, and the id can be written.
with mixture as (select * from {mixture}),
documents as (select * from {documents}),
wanted as (
    select
        doc_id,
        text_sha256,
        sum(repeats) as num_copies
    from mixture
    group by doc_id, text_sha256
),
found as (
    select
        wanted.doc_id,
        wanted.num_copies,
        count(documents.doc_id) as num_found,
        count_if(documents.text_sha256 = wanted.text_sha256) as num_same,
        coalesce(max(documents.num_bytes), 0) as num_bytes
    from wanted
    left join documents on wanted.doc_id = documents.doc_id
    group by wanted.doc_id, wanted.text_sha256, wanted.num_copies
)
select
    doc_id,
    case
        when not is_valid_utf8(doc_id) then 'unwritable'
        when num_found = 0 then 'missing'
        when num_found > 1 then 'repeated'
        when num_same = 0 then 'changed'
        else 'same'
    end as state,
    num_copies * num_bytes as num_bytes
from found
