"""The dataset class verl loads: data.custom_cls.path=pkg://permix_verl.dataset data.custom_cls.name=PersonaMixDataset

The persona is already in each row's ``prompt`` (data_prep/gsm8k_persona.py baked
it in). What this class adds over verl's own is a refusal: verl would train
without a word on prompts that lost their persona, to the chat template or to the
agent loop, which keeps the last ``max_prompt_length`` tokens of a prompt and so
cuts off the system message first.
"""

from typing import Any

from verl.utils.dataset.rl_dataset import RLHFDataset

from permix_verl.errors import UserError
from permix_verl.prompts import count_tokens, persona_survives, render
from permix_verl.rows import persona_text

_CHUNK = 1024


class PersonaMixDataset(RLHFDataset):
    """verl's RLHF dataset over persona-mixed rows (schema: ``permix_verl.rows``).

    Raises:
        UserError: a row without the schema, a persona that does not survive the chat
            template, a prompt longer than ``data.max_prompt_length``.
    """

    def __init__(
        self, data_files: Any, tokenizer: Any, config: Any, processor: Any = None, max_samples: int = -1
    ) -> None:
        super().__init__(
            data_files=data_files, tokenizer=tokenizer, config=config, processor=processor, max_samples=max_samples
        )
        self.check_prompts()

    def check_prompts(self) -> None:
        """Render and measure every row as the rollout will."""
        template_kwargs = dict(self.apply_chat_template_kwargs or {})
        too_long: list[tuple[int, int]] = []  # (row, tokens)
        for start in range(0, len(self.dataframe), _CHUNK):
            rows = self.dataframe.select(range(start, min(start + _CHUNK, len(self.dataframe)))).to_list()
            rendered = []
            for number, row in enumerate(rows, start=start):
                where = f"{self.data_files[0]}, row {number}"
                system_prompt = persona_text(row, where)
                rendered.append(render(self.tokenizer, row[self.prompt_key], template_kwargs))
                if system_prompt is not None and not persona_survives(rendered[-1], system_prompt):
                    raise UserError(
                        f"{where}: the text of persona {row['extra_info']['persona']!r} is not in the rendered prompt "
                        f"{rendered[-1][:120]!r}; use a model whose chat template keeps the system message"
                    )
            lengths = count_tokens(self.tokenizer, rendered)
            too_long += [(start + i, length) for i, length in enumerate(lengths) if length > self.max_prompt_length]
        if too_long:
            row, length = max(too_long, key=lambda item: item[1])
            raise UserError(
                f"{len(too_long)} of {len(self.dataframe)} prompts in {self.data_files[0]} are longer than "
                f"data.max_prompt_length={self.max_prompt_length} (row {row}: {length} tokens), and verl would cut the "
                "persona off; prepare the data with this tokenizer and --max-prompt-length, "
                f"or raise data.max_prompt_length to {length}"
            )
