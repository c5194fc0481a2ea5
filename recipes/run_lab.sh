#!/usr/bin/env bash
# The paper's Tables 2 and 3 in miniature (docs/lab.md): the lab's base model and the methods that train it.
#
#   bash recipes/run_lab.sh                    # RLVR and PerMix-RLVR, one seed
#   SEEDS=3 bash recipes/run_lab.sh            # seeds 0, 1 and 2: intervals over seeds, too
#   METHODS=all bash recipes/run_lab.sh        # with SFT, PerMix-SFT and SeqKD (docs/baselines.md)
#   MODEL=smollm2 bash recipes/run_lab.sh      # a real language model, with problems in plain words (docs/real_model.md)
#   KL=0.5 OUT=results/kl RUNS_DIR=runs/kl bash recipes/run_lab.sh   # knobs of the recipes, with separate folders
#
# Every knob: permix lab-study --help. The same command resumes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"   # PYTHON: in .venv, made on first use
exec "$PYTHON" -m permix_verl.cli.main lab-study "$@"
