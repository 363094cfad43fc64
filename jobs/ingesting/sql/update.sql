-- Take the input's text, domain and source for every doc_id that it names, and add those that are missing.
merge into {corpus} as corpus
using {documents} as documents
on corpus.doc_id = documents.doc_id
when matched and (
    corpus.text_sha256 <> documents.text_sha256
    or not corpus.domain <=> documents.domain
    or not corpus.source <=> documents.source
) then update set
    text = documents.text,
    domain = documents.domain,
    source = documents.source,
    text_sha256 = documents.text_sha256,
    num_bytes = documents.num_bytes
when not matched then insert (doc_id, domain, text, source, text_sha256, num_bytes)
    values (
        documents.doc_id,
        documents.domain,
        documents.text,
        documents.source,
        documents.text_sha256,
        documents.num_bytes
    )
