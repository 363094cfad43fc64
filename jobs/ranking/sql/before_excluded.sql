-- The documents of each domain that come before its first excluded one; all of a domain that has none.
with documents as (select * from {documents}),
excluded as (select * from {excluded})
select /*+ broadcast(excluded) */
    documents.doc_id,
    documents.domain,
    documents.order_value,
    documents.num_tokens,
    documents.carried
from documents
left join excluded on documents.domain = excluded.domain
where
    excluded.domain is null
    or documents.order_value > excluded.order_value
    or (documents.order_value = excluded.order_value and cast(documents.doc_id as binary) < excluded.doc_id)
