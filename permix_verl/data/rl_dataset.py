"""The dataset class verl loads: data.custom_cls.path=pkg://permix_verl.dataset data.custom_cls.name=PersonaMixDataset

It differs from verl's RLHFDataset in two ways.

(1) It resamples personas per epoch. verl does not tell a dataset the epoch, so this one spans all of them:
``data.epochs`` passes over the rows form one virtual length, each pass in its own order, and item ``i`` is a pure
function of the file and ``i``. Set ``data.shuffle=False trainer.total_epochs=1 +data.epochs=N``: nothing depends on
dataloader workers, on where a run was resumed, or on verl's epoch boundary. Batches may span two epochs. Pool, seed and
probability of no persona are in the parquet file's metadata.

(2) It refuses bad prompts. verl would silently train on prompts that lost their persona to the chat template or to the
agent loop, which keeps the last ``max_prompt_length`` tokens of a prompt and so truncates the system message first.
"""

from functools import lru_cache
from operator import attrgetter
from typing import Any

from verl.utils.dataset.rl_dataset import RLHFDataset

from permix_verl.data.prompt_lengths import PromptLengths
from permix_verl.data.schema import persona_text, read_draw
from permix_verl.data.tokenizers import ROUND_TRIP_ROWS, check_round_trip
from permix_verl.errors import UserError
from permix_verl.personas.mixing import epoch_order
from permix_verl.personas.pool import NO_PERSONA, Persona
from permix_verl.personas.prompts import check_template, count_tokens, persona_survives, render, with_persona

_CHUNK = 1024


class PersonaMixDataset(RLHFDataset):
    """verl's RLHF dataset over persona-mixed rows (schema: ``permix_verl.data.schema``).

    A file without a draw in its metadata (validation data, custom data) is read once, unchanged, in file order.

    Attributes:
        draw: settings of the persona draw, or ``None``.
        epochs: passes over the rows that make up the dataset's length.
        row_ids: (N,) row ids, in file order.

    Raises:
        UserError: a row that does not follow the schema, a persona that does not survive the chat template, a tokenizer
            that loses text, a prompt longer than ``data.max_prompt_length``, repeated row ids.
    """

    def __init__(
        self, data_files: Any, tokenizer: Any, config: Any, processor: Any = None, max_samples: int = -1
    ) -> None:
        super().__init__(
            data_files=data_files, tokenizer=tokenizer, config=config, processor=processor, max_samples=max_samples
        )
        self.template_kwargs = dict(self.apply_chat_template_kwargs or {})
        self.draw = read_draw(self.data_files[0]) if len(self.data_files) == 1 else None
        self.epochs = int(config.get("epochs", 1)) if self.draw else 1
        if self.epochs < 1:
            raise UserError(f"data.epochs is {self.epochs}", "set it to 1 or more")
        self.row_ids: list[str] = []
        longest = self.check_prompts()
        if self.draw:
            self._check_row_ids()
            if self.epochs > 1:
                longest = self.check_other_epochs()
        if longest is not None:
            raise self._too_long(*longest)
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    def __len__(self) -> int:
        return len(self.dataframe) * self.epochs

    def __getitem__(self, item: int) -> dict[str, Any]:
        """Return the item at a position: epoch ``item // N``, row ``item % N`` in that epoch's order."""
        if self.draw is None:
            return super().__getitem__(item)
        epoch, position = divmod(item, len(self.dataframe))
        row: dict[str, Any] = super().__getitem__(self._order(epoch)[position])
        if epoch == self.draw.epoch:
            return row
        info = row["extra_info"]
        persona = self.draw.persona(epoch, info["row_id"])
        row[self.prompt_key] = row["raw_prompt"] = with_persona(row["raw_prompt"], persona)
        row["extra_info"] = {**info, "epoch": epoch, "persona": persona.key if persona else NO_PERSONA}
        return row

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the epoch-order cache, which cannot be pickled."""
        return {name: value for name, value in super().__getstate__().items() if name != "_order"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    def _epoch_order(self, epoch: int) -> list[int]:
        assert self.draw is not None
        return epoch_order(self.row_ids, self.draw.seed, epoch)

    def check_prompts(self) -> tuple[int, int, int] | None:
        """Render and measure every row with the persona in the file.

        Returns:
            Number of prompts that are too long, row and tokens of the longest; ``None`` if all fit.
        """
        too_long: list[tuple[int, int]] = []  # (tokens, row)
        personas: set[Persona] = set(self.draw.pool) if self.draw else set()
        for start in range(0, len(self.dataframe), _CHUNK):
            rows = self.dataframe.select(range(start, min(start + _CHUNK, len(self.dataframe)))).to_list()
            rendered = []
            for number, row in enumerate(rows, start=start):
                where = f"{self.data_files[0]}, row {number}"
                system_prompt = persona_text(row, where)
                self.row_ids.append(str(row["extra_info"].get("row_id", number)))
                rendered.append(render(self.tokenizer, row[self.prompt_key], self.template_kwargs))
                if system_prompt is not None and not persona_survives(rendered[-1], system_prompt):
                    raise UserError(
                        f"{where}: the text of persona {row['extra_info']['persona']!r} is not in the rendered prompt "
                        f"{rendered[-1][:120]!r}",
                        "use a model whose chat template keeps the system message",
                    )
                if system_prompt is not None:
                    personas.add(Persona(row["extra_info"]["persona"], "", system_prompt))
            lengths = count_tokens(self.tokenizer, rendered)
            too_long += [(length, start + i) for i, length in enumerate(lengths) if length > self.max_prompt_length]
        self._check_tokenizer(personas)
        return _longest(too_long)

    def _check_tokenizer(self, personas: set[Persona]) -> None:
        chats = self.dataframe.select(range(min(ROUND_TRIP_ROWS, len(self.dataframe))))[self.prompt_key]
        texts = [message["content"] for chat in chats for message in chat if message["role"] != "system"]
        by_key: list[Persona] = sorted(personas, key=attrgetter("key"))
        check_round_trip(self.tokenizer, by_key, texts)

    def check_other_epochs(self) -> tuple[int, int, int] | None:
        """Measure every row, as :meth:`check_prompts` does, under the persona that makes its prompt longest."""
        assert self.draw is not None
        check_template(self.tokenizer, self.draw.pool, self.template_kwargs)
        prompt_lengths = PromptLengths(self.tokenizer, self.draw.pool, self.template_kwargs)
        too_long: list[tuple[int, int]] = []
        for start in range(0, len(self.dataframe), _CHUNK):
            infos = self.dataframe.select(range(start, min(start + _CHUNK, len(self.dataframe))))["extra_info"]
            lengths = prompt_lengths.longest([info["question"] for info in infos], self.max_prompt_length)
            too_long += [(length, start + i) for i, length in enumerate(lengths) if length > self.max_prompt_length]
        return _longest(too_long)

    def _check_row_ids(self) -> None:
        if len(set(self.row_ids)) < len(self.row_ids):
            repeated = next(row_id for row_id in self.row_ids if self.row_ids.count(row_id) > 1)
            raise UserError(
                f"{self.data_files[0]}: row_id {repeated!r} is in several rows, so their personas would not be drawn "
                "independently",
                "write the data with data_prep/gsm8k_persona.py",
            )

    def _too_long(self, count: int, row: int, tokens: int) -> UserError:
        return UserError(
            f"{count} of {len(self.dataframe)} prompts in {self.data_files[0]} are longer than "
            f"data.max_prompt_length={self.max_prompt_length} (row {row}: {tokens} tokens), and verl would truncate "
            "the persona",
            "prepare the data with this tokenizer and --max-prompt-length, or raise data.max_prompt_length to "
            f"{tokens}",
        )


def _longest(too_long: list[tuple[int, int]]) -> tuple[int, int, int] | None:
    """Return the number of (tokens, row) pairs, and row and tokens of the longest; ``None`` without any."""
    if not too_long:
        return None
    tokens, row = max(too_long)
    return len(too_long), row, tokens
