"""The model's side: masks, paired losses, detection. Only spark_udfs.py needs Spark; the rest, torch and transformers.

paired.py              both losses of every document in one pass per batch: start reading here
document_score.py      the result for one document: its losses, or why it has none
tokenised.py           texts as windows, made by a thread while the model reads the windows before
windows.py             token windows of a whole document
prefix_tokens.py       the special tokens before each text, such as BOS
batches.py             batches of windows: longest first, within a budget of tokens
token_budget.py        passes within a budget of tokens, which is halved whenever memory runs out
packing.py             packed windows: several in one row, none of which sees another, without padding
packing_proof.py       the proof that packed windows have the losses that they have alone
attention.py           the registered attention function: masks heads, or lets an observer see what they read
exactness.py           the proof, on a few tokens of the loaded model, that its heads are masked exactly
architectures.py       which architectures are refused by name, and why
loss.py                cross-entropy in chunks; the only place that shifts labels
lm_head.py             from hidden states to logits, a slice of the vocabulary at a time
precision.py           half-precision products with float32 between them; float32 throughout where they overflow
devices.py             the CPU or a GPU as a key of settings; tensors from one to the other
compiled.py            decoder layers as compiled kernels
flops.py               the operations that scoring needs
memory.py              which errors mean too little memory; a setting to reuse freed memory
machine.py             the cores and the memory that the process may use
plausible.py           the check, on plain English and code, that a model and its tokenizer belong together
checkpoint.py          a model by hub id, folder or GGUF file, pinned to its bytes
known_checkpoints.py   what a name was resolved to before, found without torch while its files are untouched
tokenizer.py           its tokenizer, exactly as its tokenizer.json says
control_words.py       control words in a text, such as <think>, read as plain text
weights.py             its weights, all of them and no others, or an error
model_files.py         the files that it is loaded from, and whether each is what its name says
loading.py             transformers' errors for a model that cannot be read, as one clear error
gguf.py                a GGUF file as a folder of safetensors and tokenizer.json, made once per machine
gguf_file.py           what a GGUF file says about itself, and what a file is that is no GGUF file
gguf_tokenizer.py      its vocabulary as tokenizer.json
gguf_sentencepiece.py  SentencePiece's merges by scores as ranked merges
gguf_byte_level.py     byte-level vocabularies, and how each splits texts into words
gguf_settings.py       its settings, each of which the model must have
gguf_proof.py          the proof that the folder reads texts and predicts exactly like the file
head_mask.py           heads as files, checked against their model
probes.py              look-ups that a model can only answer by copying
sentences.py           a seeded grammar of sentences for them
retrieval.py           how well each head copies
head_choice.py         the heads that copy best
probe_identity.py      the id of a probe: a hash of what it was made from and of what it asks
file_kinds.py          what a file is when it is not what its name promises
compressed.py          whether a compressed file is whole, by its own frames
storage.py             files by URI, opened by PyArrow
spark_udfs.py          the pandas_udfs; each worker loads its model once
"""
