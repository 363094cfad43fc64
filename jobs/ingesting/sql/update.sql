-- Take the input's text, domain and source for every doc_id that it names, and add those that are missing.
merge into {corpus} as corpus
using {documents} as documents
on corpus.doc_id = documents.doc_id
when matched and (
    not corpus.text <=> documents.text
    or not corpus.domain <=> documents.domain
    or not corpus.source <=> documents.source
) then update set text = documents.text, domain = documents.domain, source = documents.source
when not matched then insert (doc_id, domain, text, source)
    values (documents.doc_id, documents.domain, documents.text, documents.source)
