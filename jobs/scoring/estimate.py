"""Estimate: what scoring a corpus will take, before anything is spent on it."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from jobs.settings.scorer import ScorerSettings
from jobs.spark.namespace import Namespace

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.scoring.scorers import Scorer

# Documents longer than this are sampled by their beginning, in characters.
SAMPLE_CHARACTERS = 200_000


class EstimateSettings(ScorerSettings):
    """Say how many tokens a corpus has, by domain, and how long and how much scoring them would take.

    The speed is that of a timing run on this machine or, with --device-tflops and --mfu, of a device that is not here.
    Nothing is written.
    """

    num_sampled: int = Field(200, ge=10, description="documents to tokenise; more give a closer estimate")
    devices: int = Field(1, ge=1, description="how many devices will score at the same time")
    price_per_hour: float | None = Field(None, ge=0, description="price of one device, in any currency")
    probe_seconds: float = Field(20.0, gt=0, description="about how many seconds the timing run on this machine takes")
    device_tflops: float | None = Field(
        None, gt=0, description="dense peak TFLOP/s of a device that is not here, such as 989"
    )
    mfu: float | None = Field(None, gt=0, le=1, description="share of that peak that scoring reaches")

    @model_validator(mode="after")
    def _both_or_neither(self) -> EstimateSettings:
        if (self.device_tflops is None) != (self.mfu is None):
            raise ValueError("--device-tflops and --mfu belong together: a speed is the peak times the share of it")
        return self


@dataclass(frozen=True)
class Domain:
    """A domain's documents and bytes, which are exact, and its tokens, estimated from a sample."""

    name: str
    num_documents: int
    num_bytes: int
    num_tokens: float


def run(settings: EstimateSettings, spark: SparkSession) -> dict[str, Any]:
    """Print, and return, tokens by domain, the speed and where it is from, hours and cost."""
    from jobs.corpus.documents import read_documents
    from jobs.scoring.scorers import resolve_scorer
    from udfs.checkpoint import load_tokenizer
    from udfs.plausible import require_plausible_tokens, tokens_per_byte

    namespace = Namespace.parse(settings.namespace)
    documents = read_documents(spark, namespace, settings.document_table())
    scorer = resolve_scorer(spark, namespace, settings)
    texts = sample(documents, settings.num_sampled)
    if not texts:
        raise ValueError(f"{settings.corpus_table or 'the corpus'} has no document with text; nothing to estimate")
    tokenizer = load_tokenizer(scorer.checkpoint)
    if settings.device_tflops is not None:
        # No weights are loaded here: only the tokenizer can be checked.
        allow = settings.allow_implausible_model
        require_plausible_tokens(tokens_per_byte(tokenizer), scorer.checkpoint.name, allow=allow)
    domains = count_tokens(documents, texts, tokenizer)
    if settings.device_tflops is not None and settings.mfu is not None:
        speed = settings.device_tflops * 1e12 * settings.mfu / flops_per_token(scorer, texts)
        how = "from operations and --mfu"
    else:
        speed, how = measured_speed(settings, scorer, [text for _, text in texts]), "measured on this machine"
    num_tokens = sum(domain.num_tokens for domain in domains)
    hours = num_tokens / speed / 3600
    result = {
        "num_documents": sum(domain.num_documents for domain in domains),
        "num_tokens": round(num_tokens),
        "domains": [vars(domain) for domain in domains],
        "tokens_per_second_and_device": speed,
        "speed_is": how,
        "devices": settings.devices,
        "hours": hours / settings.devices,
        "device_hours": hours,
        "cost": None if settings.price_per_hour is None else hours * settings.price_per_hour,
    }
    print(json.dumps(result) if settings.json_output else describe(result))
    return result


def sample(documents: DataFrame, num_sampled: int) -> list[tuple[str, str]]:
    """(domain, text) of the documents whose ids hash lowest: the same each time, and from all domains alike."""
    from pyspark.sql import functions as F

    texts = documents.filter("num_bytes > 0 and is_valid_utf8(text)").select(
        F.coalesce("domain", F.lit("")).alias("domain"),
        F.left("text", F.lit(SAMPLE_CHARACTERS)).alias("text"),
        "doc_id",
    )
    rows = texts.orderBy(F.xxhash64("doc_id"), "doc_id").limit(num_sampled).collect()
    return [(row["domain"], row["text"]) for row in rows]


def count_tokens(documents: DataFrame, texts: list[tuple[str, str]], tokenizer: Any) -> list[Domain]:
    """Each domain's documents, bytes and tokens: bytes times the tokens per byte of its sample, or of all samples."""
    from pyspark.sql import functions as F

    tokens, num_bytes = Counter[str](), Counter[str]()
    for domain, text in texts:
        tokens[domain] += len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        num_bytes[domain] += len(text.encode())
    overall = tokens.total() / num_bytes.total()
    sizes = documents.groupBy(F.coalesce("domain", F.lit("")).alias("domain")).agg(
        F.count("*").alias("num_documents"), F.sum("num_bytes").alias("num_bytes")
    )
    domains = []
    for row in sizes.orderBy("domain").collect():
        name = row["domain"]
        per_byte = tokens[name] / num_bytes[name] if name in tokens else overall
        domains.append(
            Domain(
                name=name,
                num_documents=row["num_documents"],
                num_bytes=row["num_bytes"],
                num_tokens=row["num_bytes"] * per_byte,
            )
        )
    return domains


def measured_speed(settings: EstimateSettings, scorer: Scorer, texts: list[str]) -> float:
    """Document tokens per second, both losses, in a timing run over the sample, of about probe_seconds."""
    import torch

    from udfs.checkpoint import load_model, load_tokenizer
    from udfs.paired import PairedScorer
    from udfs.plausible import plain_text_figures, require_plausible
    from udfs.precision import resolve_dtype

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(scorer.checkpoint, resolve_dtype(scorer.dtype, device), device)
    tokenizer = load_tokenizer(scorer.checkpoint)
    figures = plain_text_figures(model, tokenizer)
    paired = PairedScorer(
        model,
        tokenizer,
        heads=scorer.heads,
        mode=scorer.mask_mode,
        window=scorer.window,
        max_batch_tokens=settings.max_batch_tokens,
    )
    require_plausible(figures, scorer.checkpoint.name, allow=settings.allow_implausible_model)
    # The first pass allocates memory and warms up: its time says nothing about the others.
    paired.score(texts[:1])
    num_tokens, seconds, first, count = 0, 0.0, 0, 4
    while seconds < settings.probe_seconds and first < len(texts):
        begin = time.monotonic()
        scores = paired.score(texts[first : first + count])
        seconds += time.monotonic() - begin
        num_tokens += sum(score.num_tokens for score in scores)
        first, count = first + count, 2 * count
    if not num_tokens:
        raise ValueError("none of the sampled documents has two tokens; nothing to time")
    return num_tokens / seconds


def flops_per_token(scorer: Scorer, texts: list[tuple[str, str]]) -> float:
    """Floating-point operations per token for both losses, averaged over the sample's windows."""
    from transformers import AutoConfig

    from udfs.checkpoint import load_tokenizer
    from udfs.flops import useful_flops

    checkpoint = scorer.checkpoint
    config = AutoConfig.from_pretrained(
        checkpoint.path, revision=checkpoint.revision, trust_remote_code=checkpoint.trust_remote_code
    ).get_text_config()
    tokenizer = load_tokenizer(checkpoint)
    lengths = []
    for _, text in texts:
        num_tokens = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        lengths += [scorer.window] * (num_tokens // scorer.window) + [num_tokens % scorer.window]
    lengths = [length for length in lengths if length > 1]
    if not lengths:
        raise ValueError("none of the sampled documents has two tokens; nothing to count operations of")
    return useful_flops(config, min(layer for layer, _ in scorer.heads), lengths) / sum(lengths)


def describe(result: dict[str, Any]) -> str:
    """The estimate for a person."""
    from jobs.terminal.display import plain_table, printable

    header = ["domain", "documents", "bytes", "tokens, about"]
    rows = [
        [
            printable(d["name"] or "(none)", 40),
            f"{d['num_documents']:,}",
            f"{d['num_bytes']:,}",
            f"{d['num_tokens']:,.0f}",
        ]
        for d in result["domains"]
    ]
    cost = "" if result["cost"] is None else f", which costs {result['cost']:,.2f}"
    return "\n".join(
        [
            plain_table(header, rows),
            f"{result['num_tokens']:,} tokens in {result['num_documents']:,} documents; "
            f"{result['tokens_per_second_and_device']:,.0f} tokens per second per device ({result['speed_is']})",
            f"{result['hours']:,.2f} hours on {result['devices']} devices: "
            f"{result['device_hours']:,.2f} device-hours{cost}",
        ]
    )
