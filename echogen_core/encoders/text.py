"""Flan-T5 as EchoGen uses it: prompt in, one feature row per real token out.

Shape suffixes: B prompts, L tokens (closing token included), C channels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from ..features import TextFeatures
from ..utils.json_text import parse_json, read_bounded
from ..utils.printable import counted, printable
from .prompt_weights import WeightedPrompt, layers, parse_weights, token_weights
from .sizes import TextEncoderConfig
from .tokenizer_file import TOKENIZER_MEMORY_FACTOR, check_tokenizer

logger = logging.getLogger(__name__)

_CHARACTERS_PER_TOKEN = 1000
PAD, END = "<pad>", "</s>"

TOKENIZER_FILE = "tokenizer.json"
"""File name of a prompt tokenizer, ours and the hub's; every version of transformers reads it alike."""


_TRIAL = "A cat on Ice, 2 dogs."
_MAX_TRIAL_TOKENS = 200


class TokenBatch(NamedTuple):
    """Tokenised prompts: ids [B, L] (0 where padded) and mask [B, L] (1 on real tokens)."""

    ids_BL: Tensor
    mask_BL: Tensor


def build_tokenizer(prompts: Iterable[str], vocabulary: int = 1024) -> Tokenizer:
    """A byte-level BPE tokenizer learnt from `prompts`, for a model trained from scratch.

    Every Unicode text has tokens, because the alphabet is the 256 bytes; letter case is ignored. Small
    prompt lists give fewer than `vocabulary` tokens: ask `get_vocab_size()`. Ids: 0 padding, 1 closing.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(prompts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    return tokenizer


def wrap_tokenizer(tokenizer: Tokenizer) -> Any:
    """The tokenizer in the class that transformers' models expect (PreTrainedTokenizerFast)."""
    from transformers import PreTrainedTokenizerFast

    make: Any = PreTrainedTokenizerFast
    return make(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END)


def read_tokenizer(path: str | Path) -> Any:
    """The tokenizer in a tokenizer.json file, or in a folder (of google/flan-t5-xl, say) that holds one.

    FileNotFoundError when there is none, ValueError when it cannot be read.
    """
    path = Path(path)
    file = path / TOKENIZER_FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"No tokenizer at {file}. Expected {TOKENIZER_FILE} of the model that the weights came from "
            "(google/flan-t5-xl has one): download it there."
        )
    return parse_tokenizer(tokenizer_text(file, "replace"), file)


def tokenizer_text(file: Path, errors: str = "strict") -> str:
    """The content of a tokenizer.json for `parse_tokenizer`; ValueError as that. errors: as for `decode`."""
    try:
        return read_bounded(file).decode("utf-8", errors)
    except ValueError as error:
        raise _unreadable(file, error) from error


def parse_tokenizer(content: str, path: Path) -> Any:
    """The tokenizer in the text of a tokenizer.json; ValueError, naming `path`, when it cannot be read.

    It is checked first and then tried on a few words: some faults show only there.
    """
    try:
        check_tokenizer(
            parse_json(content, reject_duplicate_keys=False, memory_factor=TOKENIZER_MEMORY_FACTOR)
        )
        tokenizer = wrap_tokenizer(Tokenizer.from_str(content))
        tried = tokenizer(_TRIAL, truncation=False, padding=False, verbose=False)["input_ids"]
    except BaseException as error:
        if not by_library(error):
            raise
        raise _unreadable(path, error) from error
    if not 0 < len(tried) <= _MAX_TRIAL_TOKENS:
        raise _unreadable(
            path, f"it produced {counted(len(tried), 'token')} for {counted(len(_TRIAL.split()), 'word')}"
        )
    return tokenizer


def by_library(error: BaseException) -> bool:
    """Whether a library may have raised it for what a file holds; a panic of its Rust code is no Exception.

    MemoryError is the machine's, not the file's.
    """
    if isinstance(error, MemoryError):
        return False
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _unreadable(path: Path, why: object) -> ValueError:
    return ValueError(
        f"Can't read the tokenizer in {path} ({printable(why)}). Expected {TOKENIZER_FILE}: download it "
        "again."
    )


class TextEncoder(nn.Module):
    """transformers' T5EncoderModel with its tokenizer."""

    def __init__(
        self,
        config: TextEncoderConfig,
        tokenizer: Any,  # a transformers tokenizer
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        # Takes seconds: with the first encoder, not with every start of ComfyUI.
        from transformers import T5Config, T5EncoderModel

        super().__init__()
        words = max(len(tokenizer), 1 + max(tokenizer.get_vocab().values(), default=0))
        if words > config.vocabulary:
            raise ValueError(
                f"Expected a tokenizer of at most {config.vocabulary} tokens (the encoder's vocabulary), "
                f"got one of {words}. Use the tokenizer that belongs to these weights."
            )
        self.config = config
        self.tokenizer = tokenizer
        t5_config = T5Config(
            vocab_size=config.vocabulary,
            d_model=config.width,
            d_kv=config.head_width,
            d_ff=config.hidden,
            num_layers=config.depth,
            num_heads=config.heads,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
        )
        with torch.device(device or "cpu"):
            t5: nn.Module = T5EncoderModel(t5_config)
        self.t5: Any = t5.eval()
        if dtype is not None:
            t5.to(dtype)
            if dtype == torch.float16:
                # The feed-forward output of T5 overflows in half precision.
                for name, module in t5.named_modules():
                    if name.endswith(".wo"):
                        module.float()

    def tie(self) -> None:
        """Makes the two names of the token table one parameter again, after new weights were assigned."""
        self.t5.set_input_embeddings(self.t5.shared)

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Ids and mask [B, L] to token features [B, L, C] in the encoder's dtype, differentiable.

        Features of padding tokens are meaningless.
        """
        features_BLC: Tensor = self.t5(input_ids=ids_BL, attention_mask=mask_BL).last_hidden_state
        return features_BLC

    def tokenize(self, prompts: Sequence[str], device: torch.device | str | None = None) -> TokenBatch:
        """Ids and mask of the prompts, padded to the longest; longer than the model reads, they are truncated
        with a warning.

        device: where to put them (None: where the weights are).
        """
        limit = self.config.max_tokens
        texts = [_encodable(self._shortened(prompt)) for prompt in prompts]
        rows = self.tokenizer(texts, truncation=False, padding=False, verbose=False)["input_ids"]
        for index, row in enumerate(rows):
            if len(row) > limit:
                logger.warning(
                    "The prompt of %d tokens is longer than the %d the model reads: the rest is ignored.",
                    len(row),
                    limit,
                )
                rows[index] = [*row[: limit - 1], row[-1]]
        longest = max(len(row) for row in rows)
        device = device or self.t5.shared.weight.device
        ids_BL = torch.zeros(len(rows), longest, dtype=torch.long)
        mask_BL = torch.zeros(len(rows), longest, dtype=torch.long)
        for index, row in enumerate(rows):
            ids_BL[index, : len(row)] = torch.tensor(row)
            mask_BL[index, : len(row)] = 1
        return TokenBatch(ids_BL.to(device), mask_BL.to(device))

    def token_count(self, prompt: str) -> int:
        """Tokens of a prompt without its weights, the closing one included; over max_tokens are ignored."""
        text = _encodable(parse_weights(self._shortened(prompt)).text)
        return len(self.tokenizer(text, truncation=False, padding=False, verbose=False)["input_ids"])

    @torch.no_grad()
    def encode(
        self, prompt: str, allow_empty: bool = False, device: torch.device | str | None = None
    ) -> TextFeatures:
        """Features of one prompt, one float32 row per token with the closing token, no padding.

        prompt: may have weights, see `prompt_weights`; one out of range is brought into it with a warning.
        device: where to compute (None: where the weights are, which must then all be there).
        ValueError for an empty prompt, unless `allow_empty` (which gives the closing token alone).
        """
        weighted = parse_weights(self._shortened(prompt))
        if not weighted.text.strip() and not allow_empty:
            raise ValueError(
                "The prompt is empty. Write a few words, or disconnect the sampler's text input to draw "
                "without a prompt."
            )
        for note in weighted.notes:
            logger.warning("%s", note)
        batch = self.tokenize([weighted.text], device)
        if all(segment.weight == 1 for segment in weighted.segments):
            return TextFeatures(self(batch.ids_BL, batch.mask_BL)[0].float())
        return TextFeatures(self._weighted(weighted, batch.ids_BL[0]))

    def _weighted(self, prompt: WeightedPrompt, ids_L: Tensor) -> Tensor:
        """Features [L, C] of a prompt with weights: those of its layers, mixed by their shares.

        Tokens outside a layer are not encoded; the mean of those in it takes their rows.
        """
        text = _encodable(prompt.text)
        spans = self.tokenizer(
            text, truncation=False, padding=False, verbose=False, return_offsets_mapping=True
        )["offset_mapping"]
        spans = [*spans[: len(ids_L) - 1], spans[-1]]
        features_LC = torch.zeros(len(ids_L), self.config.width, device=ids_L.device)
        for kept, share in layers(token_weights(prompt.segments, spans)):
            kept_L = torch.tensor(kept, device=ids_L.device)
            ids_1K = ids_L[kept_L][None]
            kept_KC = self(ids_1K, torch.ones_like(ids_1K))[0].float()
            layer_LC = kept_KC.mean(dim=0).expand_as(features_LC).clone()
            layer_LC[kept_L] = kept_KC
            features_LC += share * layer_LC
        return features_LC

    def _shortened(self, prompt: str) -> str:
        # tokenising megabytes would take minutes and gigabytes
        return prompt[: self.config.max_tokens * _CHARACTERS_PER_TOKEN]


def _encodable(text: str) -> str:
    """The same with "?" for each lone surrogate (half a character from a broken paste): it has no bytes."""
    return text.encode("utf-8", "replace").decode("utf-8")
