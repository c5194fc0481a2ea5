"""The dataset class for verl's SFT trainer: data.custom_cls.path=pkg://permix_verl.sft_dataset name=SupervisedDataset

Reads the files of data_prep/gsm8k_sft.py. The loss is on the response and its end-of-turn tokens only
(``permix_verl.data.sft_tokens``). No row is truncated: one that is too long is refused before the first step. As in the
RL dataset, all epochs form one virtual length, each in an order that is a function of (seed, epoch, row id).

verl averages validation over batches and drops an incomplete last batch, which for 32 rows in batches of 128 is all
rows. A file of held-out rows is therefore padded with rows without a target: every real row counts, no padding does.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch.utils.data import Dataset

from permix_verl.data.rollout_template import use_rollout_template
from permix_verl.data.schema import HELD_OUT, SPLIT_METADATA, read_draw
from permix_verl.data.sft_tokens import end_of_turn, supervised_tokens
from permix_verl.data.tokenizers import ROUND_TRIP_ROWS, check_round_trip
from permix_verl.errors import UserError
from permix_verl.personas.mixing import epoch_order
from permix_verl.personas.pool import Persona

_CHUNK = 1024

TokenizedRow = tuple[list[int], list[int]]
"""Token ids of a prompt and of its response."""


class SupervisedDataset(Dataset[dict[str, torch.Tensor]]):
    """Supervised rows as tokens, tokenized once.

    Attributes:
        rows: (prompt, response) token ids, in file order.
        epochs: passes over the rows that make up the dataset's length.

    Raises:
        UserError: several files, a file without ``messages`` or persona draw, a chat that does not end with a
            response, a row longer than ``data.max_length``, a tokenizer that loses text.
    """

    def __init__(
        self, parquet_files: Any, tokenizer: Any, config: Any, processor: Any = None, max_samples: int = -1
    ) -> None:
        import pyarrow.parquet as pq

        files = [parquet_files] if isinstance(parquet_files, str) else list(parquet_files)
        if len(files) != 1:
            raise UserError(f"{len(files)} data files are given, and this dataset takes one", "name one")
        (self.file,) = files
        self.max_length = int(config.get("max_length", 1024))
        self.template_kwargs = dict(config.get("apply_chat_template_kwargs") or {})
        use_rollout_template(tokenizer, self.template_kwargs, None, processor)
        self.pad_id = tokenizer.pad_token_id or 0
        held_out = (pq.read_schema(self.file).metadata or {}).get(SPLIT_METADATA.encode()) == HELD_OUT.encode()
        self.draw = read_draw(self.file)
        if not held_out and self.draw is None:
            raise UserError(f"{self.file} has no persona draw in its metadata", "write it with data_prep/gsm8k_sft.py")
        self.epochs = 1 if held_out else int(config.get("epochs", 1))
        table = pq.read_table(self.file, columns=["messages", "extra_info"]).to_pylist()
        table = table[:max_samples] if max_samples > 0 else table
        self.row_ids = [row["extra_info"]["row_id"] for row in table]
        self._check_tokenizer(tokenizer, table)
        self.rows = self._tokenize(tokenizer, [row["messages"] for row in table])
        batch = int(config.get("train_batch_size", 1))
        self.padding_rows = -len(self.rows) % batch if held_out else 0
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    def _check_tokenizer(self, tokenizer: Any, table: Sequence[dict[str, Any]]) -> None:
        personas = [
            Persona(str(row["extra_info"].get("persona")), "", message["content"])
            for row in table
            for message in row["messages"]
            if message["role"] == "system"
        ]
        others = [m["content"] for row in table[:ROUND_TRIP_ROWS] for m in row["messages"] if m["role"] != "system"]
        check_round_trip(tokenizer, personas, others)

    def _tokenize(self, tokenizer: Any, chats: Sequence[Sequence[dict[str, str]]]) -> list[TokenizedRow]:
        end = end_of_turn(tokenizer, self.template_kwargs)
        rows: list[TokenizedRow] = []
        for start in range(0, len(chats), _CHUNK):
            chunk = chats[start : start + _CHUNK]
            for number, chat in enumerate(chunk, start=start):
                if len(chat) < 2 or chat[-1]["role"] != "assistant":
                    raise UserError(
                        f"{self.file}, row {number}: the chat does not end with a response to train on",
                        "write the data with data_prep/gsm8k_sft.py",
                    )
            prompts, targets = [chat[:-1] for chat in chunk], [chat[-1]["content"] for chat in chunk]
            rows += supervised_tokens(tokenizer, prompts, targets, end, self.template_kwargs)
        lengths = [len(prompt) + len(response) for prompt, response in rows]
        too_long = [number for number, length in enumerate(lengths) if length > self.max_length]
        if too_long:
            longest = max(too_long, key=lengths.__getitem__)
            raise UserError(
                f"{len(too_long)} of {len(rows)} rows in {self.file} are longer than "
                f"data.max_length={self.max_length} (row {longest}: {lengths[longest]} tokens)",
                "prepare the data with this tokenizer and --max-length, or raise data.max_length to "
                f"{lengths[longest]}",
            )
        return rows

    def __len__(self) -> int:
        return len(self.rows) * self.epochs + self.padding_rows

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        """Return one row: ``input_ids``, ``position_ids`` and ``loss_mask``, (length,) each, without padding."""
        if self.padding_rows and item >= len(self.rows):
            row: TokenizedRow = ([self.pad_id, self.pad_id], [])
        elif self.draw is None:
            row = self.rows[item]
        else:
            epoch, position = divmod(item, len(self.rows))
            row = self.rows[self._order(epoch)[position]]
        prompt, response = row
        ids = torch.tensor([*prompt, *response])
        mask = torch.zeros_like(ids)
        mask[len(prompt) :] = 1
        return {"input_ids": ids, "position_ids": torch.arange(len(ids)), "loss_mask": mask}

    def _epoch_order(self, epoch: int) -> list[int]:
        assert self.draw is not None
        return epoch_order(self.row_ids, self.draw.seed, epoch)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the epoch-order cache, which cannot be pickled."""
        return {name: value for name, value in self.__dict__.items() if name != "_order"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._order = lru_cache(maxsize=2)(self._epoch_order)
