"""The dataset class verl loads: data.custom_cls.path=pkg://permix_verl.dataset data.custom_cls.name=PersonaMixDataset

It differs from verl's RLHFDataset in three ways.

(1) It resamples personas per epoch. verl does not tell a dataset the epoch, so this one spans all of them:
``data.epochs`` passes over the rows form one virtual length, each pass in its own order, and item ``i`` is a pure
function of the files and ``i``. Set ``data.shuffle=False trainer.total_epochs=1 +data.epochs=N``: nothing depends on
dataloader workers, on where a run was resumed, or on verl's epoch boundary. Batches may span two epochs. Pool, seed and
probability of no persona are in the parquet file's metadata.

(2) It mixes personas into rows that have none: ``+data.permix.pool=train +data.permix.seed=0``, and the other settings
of ``permix_verl.data.mix_settings``, over any number of files and sources. A row draws the persona that ``permix mix``
would write for it. Validation files are read as they are.

(3) It refuses bad prompts. verl would silently train on prompts that lost their persona to the chat template or to the
agent loop, which keeps the last ``max_prompt_length`` tokens of a prompt and so truncates the system message first.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from verl.utils.dataset.rl_dataset import RLHFDataset

from permix_verl.data.loaded_rows import TooLong, check_rows, longest_prompt, persona_of, places, problem_texts, scan
from permix_verl.data.mix_settings import read_mix_settings, reads_validation
from permix_verl.data.mixed_file import original_chat, refuse_mixed, shared_draw
from permix_verl.data.mixed_lengths import MixedLengths, OwnAndOthers
from permix_verl.data.prompt_lengths import has_more_texts
from permix_verl.data.rollout_template import use_rollout_template
from permix_verl.data.row_files import RowFiles, have_one_schema, load_rows
from permix_verl.data.system_message import compose, split_system
from permix_verl.data.tokenizers import ROUND_TRIP_ROWS, check_round_trip
from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw, draw_wording, epoch_order
from permix_verl.personas.pool import NO_PERSONA, Persona
from permix_verl.personas.prompts import with_persona
from permix_verl.seeding import salted


class PersonaMixDataset(RLHFDataset):
    """verl's RLHF dataset over persona-mixed rows (schema: ``permix_verl.data.schema``), or rows to mix as they load.

    A file without a draw in its metadata (validation data, custom data) is read once, unchanged, in file order, unless
    ``data.permix`` is set.

    Attributes:
        draw: settings of the persona draw, or ``None``.
        epochs: passes over the rows that make up the dataset's length.
        row_ids: (N,) row ids, in file order.
        mix: settings of mixing at load time, or ``None``.
        policy: what becomes of system messages of the rows' own; ``None`` in files of ``permix prep``, without any.
        validation: whether these are a run's validation files.

    Raises:
        UserError: a row that does not follow the schema, a persona that does not survive the chat template, a tokenizer
            that loses text, a prompt longer than ``data.max_prompt_length``, repeated row ids; with ``data.permix``, a
            file that has personas already, or one row id for two problems.
    """

    def __init__(
        self, data_files: Any, tokenizer: Any, config: Any, processor: Any = None, max_samples: int = -1
    ) -> None:
        files = [data_files] if isinstance(data_files, str) else list(data_files)
        self.validation = reads_validation(files, config)
        self.mix = None if self.validation else read_mix_settings(config)
        super().__init__(
            data_files=data_files, tokenizer=tokenizer, config=config, processor=processor, max_samples=max_samples
        )
        self.template_kwargs = dict(self.apply_chat_template_kwargs or {})
        use_rollout_template(self.tokenizer, self.template_kwargs, config, processor)
        self.draw, self.policy = self._read_draw()
        self.epochs = int(config.get("epochs", 1)) if self.draw and not self.validation else 1
        if self.epochs < 1:
            raise UserError(f"data.epochs is {self.epochs}", "set it to 1 or more")
        self.row_ids: list[str] = []
        longest = self._check_plain_rows() if self.mix else self._check_rows()
        if longest is not None:
            raise self._too_long(*longest)
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    def _read_draw(self) -> tuple[PersonaDraw | None, str | None]:
        if self.mix:
            return self.mix.draw(), self.mix.system_message
        return shared_draw(list(self.data_files)) or (None, None)

    def _read_files_and_tokenize(self) -> None:
        """Read the files as verl does; files whose columns differ in type are read side by side.

        Raises:
            UserError: files that have personas already and are to be mixed.
        """
        files = list(self.data_files)
        if self.mix:
            refuse_mixed(files)
        parts = load_rows(files)
        self._counts = list(map(len, parts))
        if len(parts) == 1 or have_one_schema(parts):
            super()._read_files_and_tokenize()
            return
        if self.filter_overlong_prompts:
            raise UserError(
                "data.filter_overlong_prompts is set, and the columns of the data files differ in type",
                "leave it False; permix mix --tokenizer drops prompts that are too long",
            )
        rows = RowFiles(parts)
        print(f"dataset len: {len(rows)}, in {len(parts)} files of different columns")
        self.dataframe = rows.select(range(self.max_samples)) if 0 < self.max_samples < len(rows) else rows

    def __len__(self) -> int:
        return len(self.dataframe) * self.epochs

    def __getitem__(self, item: int) -> dict[str, Any]:
        """Return the item at a position: epoch ``item // N``, row ``item % N`` in that epoch's order."""
        if self.draw is None:
            return super().__getitem__(item)
        epoch, position = divmod(item, len(self.dataframe))
        index = self._order(epoch)[position]
        if epoch == self.draw.epoch and self.policy is None:
            return super().__getitem__(index)
        return self._row(index, epoch, self.draw.persona(epoch, self.row_ids[index]))

    def drawn_persona(self, row_id: str, epoch: int, salt: int = 0) -> str:
        """Return the key of a row's persona in an epoch, or "no_persona"; another salt draws another one."""
        assert self.draw is not None
        persona = self.draw.persona(epoch, salted(row_id, salt))
        return persona.key if persona else NO_PERSONA

    def row_under(self, row_id: str, epoch: int, persona: str, salt: int = 0) -> dict[str, Any]:
        """Return a row's item under another persona than the one it draws.

        Args:
            persona: key of one that the training data draw from, or "no_persona".
            salt: as of :meth:`drawn_persona`; it draws the wording.
        """
        assert self.draw is not None
        chosen = None
        if persona != NO_PERSONA:
            chosen = draw_wording(self.draw.train_pool.get(persona), self.draw.seed, epoch, salted(row_id, salt))
        return self._row(self._positions[row_id], epoch, chosen)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {row_id: index for index, row_id in enumerate(self.row_ids)}

    def check_every_persona(self) -> None:
        """Measure the prompts of all rows under all personas, for a run that draws others than the data do.

        Raises:
            UserError: a prompt longer than ``data.max_prompt_length``.
        """
        if self.mix or self.epochs > 1:
            return  # measured when the data were loaded
        longest = longest_prompt(self.dataframe, self.prompt_key, self._measure(), self._split)
        if longest is not None:
            raise self._too_long(*longest)

    def _row(self, index: int, epoch: int, persona: Persona | None) -> dict[str, Any]:
        row: dict[str, Any] = super().__getitem__(index)
        row[self.prompt_key] = row["raw_prompt"] = self._chat(row, persona)
        row["extra_info"] = {
            **row["extra_info"],
            "row_id": self.row_ids[index],
            "epoch": epoch,
            "persona": persona.key if persona else NO_PERSONA,
        }
        return row

    def _chat(self, row: dict[str, Any], persona: Persona | None) -> list[dict[str, Any]]:
        if self.policy is None:
            return with_persona(row["raw_prompt"], persona)
        return compose(persona, *self._split(row["raw_prompt"], row["extra_info"]), self.policy)

    def _split(self, chat: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> OwnAndOthers:
        """Return a row's own system text and its other messages, without a persona."""
        return split_system(chat) if self.mix else original_chat(chat, info)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the epoch-order cache, which cannot be pickled."""
        return {name: value for name, value in super().__getstate__().items() if name != "_order"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    def _epoch_order(self, epoch: int) -> list[int]:
        assert self.draw is not None
        return epoch_order(self.row_ids, self.draw.seed, epoch)

    def _check_plain_rows(self) -> TooLong | None:
        """Check and measure rows that get their personas here."""
        assert self.mix is not None
        assert self.draw is not None
        self.row_ids = scan(self.dataframe, self.mix, self.prompt_key, self._place())
        self._check_tokenizer(self._texts_of(self.draw) if self.mix.mixes else ())
        return longest_prompt(self.dataframe, self.prompt_key, self._measure(), self._split)

    def _check_rows(self) -> TooLong | None:
        """Check and measure rows with the personas in the file, and under those of other epochs."""
        as_they_are = self.validation and not persona_of(self.dataframe[0])
        found = check_rows(
            self.dataframe,
            self.prompt_key,
            self.tokenizer,
            self.template_kwargs,
            self.max_prompt_length,
            self._place(),
            as_they_are,
        )
        self.row_ids, personas, longest = found
        if self.draw is None:
            self._check_tokenizer(personas)
            return longest
        self._check_tokenizer(itertools.chain(self._texts_of(self.draw), personas))
        self._check_row_ids()
        if self.epochs == 1 and self.draw.epoch == 0:
            return longest
        return longest_prompt(self.dataframe, self.prompt_key, self._measure(), self._split)

    def _texts_of(self, draw: PersonaDraw) -> Iterable[Persona]:
        """Return the personas whose texts are checked here; those of a large pool are checked as they are measured."""
        return () if has_more_texts(draw.pool) else draw.pool

    def _measure(self) -> MixedLengths:
        assert self.draw is not None
        policy = self.policy or "replace"
        return MixedLengths(self.tokenizer, self.draw, self.template_kwargs, policy, self.max_prompt_length)

    def _place(self) -> Callable[[int], str]:
        return places(list(self.data_files), self._counts, len(self.dataframe))

    def _check_tokenizer(self, personas: Iterable[Persona]) -> None:
        first = self.dataframe.select(range(min(ROUND_TRIP_ROWS, len(self.dataframe))))
        chats = [row[self.prompt_key] for row in first.select_columns([self.prompt_key]).to_list()]
        check_round_trip(self.tokenizer, personas, problem_texts(chats))

    def _check_row_ids(self) -> None:
        if len(set(self.row_ids)) < len(self.row_ids):
            repeated = next(row_id for row_id, count in Counter(self.row_ids).items() if count > 1)
            raise UserError(
                f"{self.data_files[0]}: row_id {repeated!r} is in several rows, so their personas would not be drawn "
                "independently",
                "write the data with data_prep/gsm8k_persona.py, or all files with one call of permix mix",
            )

    def _too_long(self, count: int, row: int, tokens: int) -> UserError:
        remedy = "prepare the data with this tokenizer and --max-prompt-length"
        if self.mix:
            remedy = "drop them with permix mix --tokenizer MODEL --max-prompt-length N"
        return UserError(
            f"{count} of {len(self.dataframe)} prompts in {', '.join(self.data_files)} are longer than "
            f"data.max_prompt_length={self.max_prompt_length} (row {row}: {tokens} tokens), and verl would truncate "
            "the persona",
            f"{remedy}, or raise data.max_prompt_length to {tokens}",
        )
