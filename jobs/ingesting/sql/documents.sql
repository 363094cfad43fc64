-- One row for each document read, as corpus will hold it.
-- Workers read text as UTF-8 and fail on anything else, so each invalid byte becomes U+FFFD here.
-- A null text has the hash of an empty one. Where ids are hashes, documents without a text share the id 'null'.
with documents as (select * from {documents}),
valid as (
    select
        make_valid_utf8(doc_id) as doc_id,
        make_valid_utf8(domain) as domain,
        make_valid_utf8(text) as text,
        make_valid_utf8(source) as source,
        was_repaired,
        problem
    from documents
)
select
    case when :content_ids then coalesce(sha2(text, 256), 'null') else doc_id end as doc_id,
    coalesce(nullif(trim(domain), ''), :unknown_domain) as domain,
    text,
    source,
    was_repaired,
    sha2(cast(coalesce(text, '') as binary), 256) as text_sha256,
    cast(coalesce(octet_length(text), 0) as bigint) as num_bytes,
    doc_id is not null as has_id,
    text is not null as has_text,
    domain is not null as has_domain,
    problem
from valid
