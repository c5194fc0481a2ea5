"""Targets for supervised fine-tuning: what the paper's SFT, PerMix-SFT and SeqKD arms are trained to say.

The same problems, held-out problems and personas a row as in PerMix-RLVR's data; what differs is the answer that
stands behind each prompt. Ground truth comes out of the data set, styled targets and a teacher's out of an engine
of ``permix_verl.evaluation``.
"""
