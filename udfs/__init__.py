"""The model's side: masks, paired losses, detection. No Spark but in spark_udfs.py: torch and transformers suffice.

paired.py              both losses of every document in one pass: start reading here
document_score.py      what becomes of a document: its losses, or why it has none
tokenised.py           texts as windows, made by a thread while the model reads the ones before
plausible.py           a model and its tokenizer on plain English and code, to see whether they belong together
precision.py           16-bit products with float32 between them; all in float32 where 16 bits overflow
flops.py               operations that scoring needs
memory.py              which errors mean too little of it; what a process that runs a model keeps
machine.py             cores and memory that the process may use
compiled.py            decoder layers as compiled kernels
attention.py           the registered attention function: masks heads, or shows them to an observer
exactness.py           the proof, on a few tokens of the loaded model, that its mask is exact
architectures.py       what is refused by name, and why
loss.py                cross-entropy in chunks; the only place that shifts labels
lm_head.py             from hidden states to logits, a slice of the vocabulary at a time
devices.py             tensors from the CPU to a GPU
windows.py             token windows of a whole document
batches.py             longest first, within a budget of tokens
token_budget.py        passes within a budget of tokens, halved whenever memory runs out
packing.py             packed windows: several in one row, none of which sees another, without padding
packing_proof.py       the proof that packed windows have the losses that they have alone
checkpoint.py          a model by hub id, folder or GGUF file, pinned to its bytes
tokenizer.py           its tokenizer, as its tokenizer.json says
start_token.py         whether its texts start with a BOS token
control_words.py       control words in a text, such as <think>, as the plain text that they are
weights.py             its weights, all of them and no others, or an error
model_files.py         the files it is loaded from; what is none: an LFS pointer, a web page, cut off
gguf.py                a GGUF file as a folder of safetensors and tokenizer.json, made once
gguf_file.py           what such a file says, and what a file is instead
gguf_tokenizer.py      its vocabulary as tokenizer.json
gguf_sentencepiece.py  SentencePiece's merges by scores as ranked ones
gguf_byte_level.py     byte-level vocabularies, and how each cuts texts into words
gguf_settings.py       its settings, each of which the model must have
gguf_proof.py          the proof that the folder reads and predicts as the file
loading.py             what transformers says of a model that cannot be read, as one clear error
head_mask.py           heads as files, checked against their model
probes.py              look-ups that a model can only answer by copying
sentences.py           a seeded grammar of sentences for them
retrieval.py           which heads copy, and the top of them
file_kinds.py          what a file is that is not what its name promises
compressed.py          whether a compressed file is whole, by its own frames
storage.py             files by URI, as PyArrow opens them
spark_udfs.py          the pandas_udfs, and one load of the model a worker
"""
