"""Reader's guide at the end of every report: what the figures mean and assume."""

from permix_verl.report.document import Section, Text
from permix_verl.report.strict_tables import STRICT

GUIDE = (
    (
        "Accuracy.",
        "The share of answers scored as correct, in percent. A mean stands with its standard error (±).",
    ),
    (
        "Intervals.",
        "95 %, clustered by problem: they say how a figure would vary on other problems like these. The personas are "
        "the fixed set that was asked. Where the method for an interval does not hold, it is refused and the reason "
        "printed.",
    ),
    (
        "PSS, ratio of means.",
        "The Persona Stability Score, with each persona's accuracy averaged over all runs first and the worst divided "
        "by the best then: 1 where personas change nothing (the paper's Tables 8 and 9).",
    ),
    (
        "PSS, mean of run ratios.",
        "Worst is divided by best within each run, and these ratios are averaged: it lies lower, as each run's own "
        "noise pulls its worst and best apart (the MATH500 columns of the paper's Tables 2 and 3 look like this one).",
    ),
    (
        "Strict accuracy and the parser's share.",
        f"Strict accuracy counts a correct answer only if it is marked by {STRICT}. The parser's share is accuracy "
        "less strict accuracy: how much of the accuracy rests on reading answers that are marked otherwise, or not at "
        "all. Where PSS is far lower under strict, personas change the form of answers more than whether these are "
        "right. Strict figures stand without intervals. They are left out, or not recorded, where a results folder "
        "lacks the marks of its answers; eval/rescore.py fills these in.",
    ),
    (
        "PSS of a persona-invariant model.",
        "A model that ignores personas scores below 1 too, as the smallest and largest of several noisy accuracies lie "
        "apart. How far, at this accuracy and size, is found by exchanging persona labels within each problem. Sharp "
        "null: on each problem, every answer has the same chance under every persona; single runs move. Blocks null: a "
        "persona may help on one problem and hurt on another, drawn alike for all personas; all runs of a persona on a "
        "problem move as one block. A persona that is better or worse over all, or more volatile than "
        "the others, speaks against it. p is the chance of a PSS as low as the measured one under that null.",
    ),
    (
        "Cross-fitted worst and best.",
        "The worst of several measured accuracies is too low as an estimate, because it was chosen for being low. "
        "Here the persona is chosen on half of the problems and scored on the other half. This estimates the accuracy "
        "of the chosen persona, not the smallest accuracy of all.",
    ),
    (
        "PSS without one persona.",
        "PSS (ratio of means) again with each persona left out in turn. One that changes much speaks of that persona "
        "rather than of personas.",
    ),
    (
        "Figures without a floor.",
        "PSS goes to 0 with the worst persona's accuracy, whatever the others do. These do not: the worst persona "
        "against no persona; the accuracy that nine tenths of the personas reach (10th percentile); how often two "
        "answers to one problem differ in correctness, under two personas (across), in two runs of one (within), and "
        "the excess of the first over the second, which is what personas add; and the standard deviation of the "
        "personas' accuracies, less the part that noise explains.",
    ),
    (
        "Best of k.",
        "Expected accuracy of the best of k personas tried. Apparent: chosen and scored on the same answers, which "
        "rises by chance alone. Cross-fitted: chosen on half of the problems, scored on the other half.",
    ),
    (
        "Closed form.",
        "What the paper's Proposition 1 says persona-conditioned RLVR would do: the logit of each problem's chance "
        "rises by 1/beta. It treats every model as if it were the base model that the training starts from; beta is a "
        "sequence-level coefficient in units of the reward, and not the coefficient that trainers average over "
        "tokens. Smoothed: averaged over what a problem's chance may be, given few runs. Plug-in: the share of right "
        "answers taken for the chance, so that 0 of 5 stays 0.",
    ),
    (
        "Pairs of models.",
        "First minus second, problem by problem, on the problems and personas that both have. The swap test's null: on "
        "every problem, it does not matter which of the two models answered; its p-values are two-sided. A small p of "
        "the PSS difference may come from a difference in accuracy alone: it is no test of equal PSS.",
    ),
)


POOLED = (
    "Pooled over training seeds.",
    "The mean over a method's models, one for each training seed. Its 95 % interval adds two half-widths in squares: "
    "that of the problems, for the models at hand, and that of a t interval over the seeds. It errs on the wide side "
    "where seeds hardly differ, or where several personas are nearly the worst. Worst and best are the smallest and "
    "largest accuracy of each model; unlike the cross-fitted ones, they are not about a chosen persona. In a "
    "difference of two methods the problems are shared and the seeds are not paired.",
)
"""Entry for reports with methods pooled over training seeds."""


def guide(*, pooled: bool = False) -> Section:
    """Build the guide's section.

    Args:
        pooled: the report has methods pooled over training seeds.
    """
    entries = (*GUIDE, POOLED) if pooled else GUIDE
    return Section("How to read this", [Text(text, lead=lead) for lead, text in entries])
