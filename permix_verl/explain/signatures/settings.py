"""verl's settings, data and reward."""

from permix_verl.explain.signatures.signature import HERE, Signature

SETTINGS = (
    Signature(
        "hydra-key",
        r"Could not override '|Key '[^']+' is not in struct|Key '[^']+' not in '|Could not append to config|"
        r"got an unexpected keyword argument.*full_key",
        "verl's configuration has no such key",
        "its name changed or is misspelt (verl's own reference is trainer/config/*.yaml); a + in front adds a new key, "
        "which verl then ignores; `permix doctor -- KEY=VALUE` composes the configuration first",
        ("verl #1080", "verl #7319", "Hydra #1912", HERE),
        line=True,
    ),
    Signature(
        "hydra-syntax",
        r"OverrideParseException|LexerNoViableAlt|no viable alternative at input|mismatched input '|extraneous input '|"
        r"missing EQUAL at|token recognition error",
        "Hydra cannot read an override",
        "quote values that have spaces, commas, brackets or = in them, within the shell's quotes: KEY=\"'a, b'\"",
        ("Hydra #2674", HERE),
        line=True,
    ),
    Signature(
        "batch-divides",
        r"must be divisible by|not divisible by|only support equal chunk|is not a multiple of",
        "a batch does not divide by the number of GPUs, or by its micro-batches",
        "data.train_batch_size times rollout.n, ppo_mini_batch_size and micro-batches must divide by all ranks; "
        "`permix doctor` checks it",
        ("verl #473", "EasyR1 #44", HERE),
    ),
    Signature(
        "micro-batch",
        r"Please set at least one of .*micro_batch_size",
        "verl wants a micro-batch size for each worker",
        "set the *_micro_batch_size_per_gpu that the message names, or use_dynamic_bsz=True",
        (HERE,),
    ),
    Signature(
        "fields-missing",
        r"key ['\"]prompts['\"] not found|KeyError: ['\"]prompts['\"]",
        "verl's V1 trainer does not keep a field that this estimator reads",
        "algorithm.adv_estimator=grpo (gdpo, remax and optimal_token_baseline fail so in verl 0.9.1; `permix doctor` "
        "refuses them)",
        (HERE,),
    ),
    Signature(
        "reward-missing",
        r"Reward function is not implemented for data_source",
        "verl has no reward for this data_source",
        "reward.custom_reward_function.path and .name, or one of verl's own names in the rows' data_source",
        ("verl #3450", "verl #5558", HERE),
    ),
    Signature(
        "reward-key",
        r"KeyError: ['\"](?:reward_model|ground_truth|data_source|extra_info)['\"]",
        "rows of the data lack a field that verl's reward manager reads",
        "every row needs data_source, prompt, reward_model.ground_truth and extra_info; permix's preparation "
        "writes them",
        (HERE,),
    ),
    Signature(
        "prompt-long",
        r"Prompt length (?:of )?\d+ (?:is|exceeds) |prompts? .*(?:is|are) longer than|decoder prompt \(length|"
        r"maximum context length is \d+ tokens",
        "a prompt is longer than it may be",
        "data.filter_overlong_prompts=True, or a larger data.max_prompt_length; permix's preparation drops such rows",
        ("verl #1015", "EasyR1 #207", HERE),
    ),
    Signature(
        "ranks-changed",
        r"model_world_size_\d+_rank_\d+\.pt|(?:optim|extra_state)_world_size_\d+_rank_\d+\.pt",
        "the checkpoint was written by another number of ranks, or some of its files are on other nodes",
        "go on with as many GPUs as wrote it, and a run folder that all nodes see; or start another RUN_DIR",
        ("verl #2265", "verl #4024", HERE),
    ),
    Signature(
        "wandb-login",
        r"api_key not configured|No API key configured|wandb: ERROR .*(?:login|API key)",
        "Weights & Biases is asked for, and nobody is logged in",
        "wandb login or WANDB_API_KEY, WANDB_MODE=offline, or leave wandb out of trainer.logger",
        ("EasyR1 #69", "unsloth #1914", HERE),
        line=True,
    ),
    Signature(
        "data-file",
        r"Parquet magic bytes not found|Couldn't deserialize thrift|Could not open Parquet input|ArrowInvalid",
        "a data file is no Parquet, or is cut short",
        "prepare it again; a Git LFS pointer of a hundred bytes looks like this too",
        (HERE,),
    ),
    Signature(
        "not-a-number",
        r"probability tensor contains either",
        "the model's probabilities are not numbers any more: training has diverged, or float16 overflows",
        "a lower learning rate, gradient clipping, bfloat16 in place of float16; look at the loss of the steps before",
        ("TRL #1199", "R1-V #69", HERE),
    ),
)
