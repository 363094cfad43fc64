"""The check at load that a model and its tokenizer belong together: they must know plain English and code.

With a wrongly converted tokenizer, or with damaged or untrained weights, every pass succeeds and every score is a
number. But such a model reads badly what every language model has learnt.

Shapes: T tokens of one text, N of them with a loss, V vocabulary entries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from udfs.architectures import max_exact_window
from udfs.loss import logit_losses
from udfs.memory import is_out_of_memory
from udfs.precision import HALF_PRECISION, product_dtype, weights_in_float32
from udfs.prefix_tokens import prefix_tokens

# Ordinary vocabularies need 0.2 to 0.35 tokens per byte of TEXTS; a vocabulary of single letters needs 1.
MAX_TOKENS_PER_BYTE = 0.6
# The share is of ln V, the loss of a model to which all V tokens are equally likely.
MAX_SHARE_OF_UNIFORM_LOSS = 0.6
# Tokens that are read of each text. They suffice, and are few even where a token is a letter: their logits are all
# held.
MAX_TOKENS = 64
_UNLIKE = "does not read plain English and code as a language model does:"
_WHAT_TO_DO = (
    "Its tokenizer or its weights are not those that it was trained with: convert or download it again. If it is meant "
    "to be so (letters or bytes as tokens, another language, random weights), add --allow-implausible-model"
)
TEXTS = (
    "The library opens at nine in the morning and closes at six in the evening. On Sundays it is closed. If you want "
    "to borrow a book, you need a card, which is free for everyone who lives in the city. You can keep a book for four "
    "weeks, and after that you have to bring it back or ask for more time.",
    "Water boils when it is heated to one hundred degrees, and it turns into ice when it is cold enough. Most of the "
    "water on Earth is in the oceans, and it is too salty to drink. The rain that falls on the land runs into rivers, "
    "and the rivers carry it back to the sea.",
    "My sister and her husband moved to a small house near the river last year. They have two children, a dog and a "
    "large garden. Every summer we visit them for a few days, and in the evening we sit outside, eat dinner together "
    "and talk about old times until it gets dark.",
    "The company said on Monday that sales rose by five percent in the first three months of the year. The number of "
    "people who work for it did not change. Its president told reporters that prices would stay the same until the end "
    "of the year, but that it was too early to say what would happen after that.",
    'def largest(numbers):\n    """Return the largest of the numbers."""\n    if len(numbers) == 0:\n'
    '        raise ValueError("there are no numbers")\n    best = numbers[0]\n    for number in numbers:\n'
    "        if number > best:\n            best = number\n    return best\n",
    "#include <stdio.h>\n\nint main(void) {\n    int sum = 0;\n    for (int i = 1; i <= 10; i++) {\n"
    '        sum = sum + i;\n    }\n    printf("The sum is %d\\n", sum);\n    return 0;\n}\n',
)


@dataclass(frozen=True)
class PlainTextFigures:
    """How a tokenizer and its model read TEXTS.

    loss: nats per token, with all heads on. vocab_size: how many tokens the model has an embedding for.
    """

    tokens_per_byte: float
    loss: float
    vocab_size: int

    @property
    def max_loss(self) -> float:
        """The limit that the loss must stay below."""
        return MAX_SHARE_OF_UNIFORM_LOSS * math.log(self.vocab_size)

    @property
    def are_plausible(self) -> bool:
        """Whether both are within their limits."""
        # NaN is not below any limit.
        return self.tokens_per_byte < MAX_TOKENS_PER_BYTE and self.loss < self.max_loss


def plain_text_figures(model: Any, tokenizer: Any) -> PlainTextFigures:
    """The figures of a model without a mask. The loss is not finite if it is not even so in float32.

    Tokens that the model has no embedding for, and the unknown token, say nothing about the text. They count with ln V,
    the loss of a model that knows nothing.
    """
    vocab_size: int = model.get_input_embeddings().num_embeddings
    loss = _mean_loss(model, tokenizer, vocab_size)
    if not math.isfinite(loss) and product_dtype(model) in HALF_PRECISION:
        # As with documents, what overflows in half precision is read again in float32 if there is memory for it.
        try:
            with weights_in_float32(model):
                loss = _mean_loss(model, tokenizer, vocab_size)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
    return PlainTextFigures(tokens_per_byte(tokenizer), loss, vocab_size)


def tokens_per_byte(tokenizer: Any) -> float:
    """Tokens of TEXTS, without special ones, per byte of UTF-8."""
    num_tokens = sum(len(_token_ids(tokenizer, text)) for text in TEXTS)
    return num_tokens / sum(len(text.encode()) for text in TEXTS)


def require_plausible(figures: PlainTextFigures, model_name: str, *, allow: bool) -> None:
    """Raise ValueError, with both figures and their limits, unless they are plausible or allow is true."""
    if allow or figures.are_plausible:
        return
    limit = (
        f"{figures.max_loss:.3f}, {MAX_SHARE_OF_UNIFORM_LOSS:.0%} of ln {figures.vocab_size:,}, its number of tokens"
    )
    raise ValueError(
        f"model {model_name!r} {_UNLIKE} {_tokens_text(figures.tokens_per_byte)}, and a loss of {figures.loss:.3f} "
        f"nats per token (must be below {limit}). {_WHAT_TO_DO}"
    )


def require_plausible_tokens(figure: float, model_name: str, *, allow: bool) -> None:
    """Raise ValueError unless so many tokens per byte are plausible, or allow is true: for a model not loaded."""
    if allow or figure < MAX_TOKENS_PER_BYTE:
        return
    raise ValueError(f"model {model_name!r} {_UNLIKE} {_tokens_text(figure)}. {_WHAT_TO_DO}")


def _tokens_text(figure: float) -> str:
    return f"{figure:.3f} tokens per byte (must be below {MAX_TOKENS_PER_BYTE:g})"


@torch.inference_mode()
def _mean_loss(model: Any, tokenizer: Any, vocab_size: int) -> float:
    """Mean loss over the beginnings of TEXTS, each read by itself, in nats per token; NaN where none has two tokens."""
    prefix, device = prefix_tokens(tokenizer), next(model.parameters()).device
    first = max(1, len(prefix))  # The first token that counts, as in a window.
    size = min(MAX_TOKENS, max_exact_window(model.config.get_text_config()))
    total, count = 0.0, 0
    for text in TEXTS:
        token_ids = (prefix + _token_ids(tokenizer, text))[:size]
        if len(token_ids) <= first:
            continue
        if max(token_ids) >= vocab_size:
            losses = torch.full((len(token_ids) - first,), math.log(vocab_size))
        else:
            rows = torch.tensor([token_ids], device=device)  # (1, T)
            logits = model(input_ids=rows, use_cache=False).logits[0]  # (T, V)
            losses = logit_losses(logits, rows[0])[first - 1 :]  # (N,)
            losses[rows[0, first:] == _unknown_token(tokenizer)] = math.log(vocab_size)
        total, count = total + float(losses.double().sum()), count + len(losses)
    return total / count if count else math.nan


def _token_ids(tokenizer: Any, text: str) -> list[int]:
    token_ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return token_ids


def _unknown_token(tokenizer: Any) -> int:
    """The id of the unknown token, which stands for all text that the vocabulary lacks; -1 where there is none."""
    # A TextTokenizer does not tell transformers the names of its special tokens.
    words = getattr(tokenizer, "words", None)
    unknown = tokenizer.unk_token if words is None else words.unknown
    token_id = None if unknown is None else tokenizer.backend_tokenizer.token_to_id(unknown)
    return -1 if token_id is None else int(token_id)
