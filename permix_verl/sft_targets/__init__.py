"""Targets for supervised fine-tuning: the data of the paper's SFT, PerMix-SFT and SeqKD methods.

Problems, validation problems and the persona of each row are those of PerMix-RLVR's data; only the targets differ.
Ground truth comes from the data set. Styled and teacher targets come from an engine of ``permix_verl.inference``.
"""
