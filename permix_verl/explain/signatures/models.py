"""The model, its tokenizer, its adapter, the hub."""

from permix_verl.explain.signatures.signature import HERE, Signature

MODELS = (
    Signature(
        "weights-broken",
        r"SafetensorError|MetadataIncompleteBuffer|HeaderTooLarge|InvalidHeader|incomplete metadata|"
        r"PytorchStreamReader failed",
        "a file of weights is cut short, or is a Git LFS pointer and no weights",
        "delete it and download it again (git lfs pull in a checkout); `permix doctor --model` looks at every shard",
        ("Qwen3-VL #264", "vLLM #15445", "LlamaFactory #5201", HERE),
    ),
    Signature(
        "gated",
        r"gated repo|GatedRepoError|Access to model .* is restricted|(?:401|403) Client Error.*huggingface",
        "the model needs a login to the hub, and its owner's consent",
        "ask for access on its page, then hf auth login or HF_TOKEN, on every node; or set MODEL to a folder",
        ("vLLM #8331", "llm2vec #130", "tt-inference-server #37"),
    ),
    Signature(
        "hub-offline",
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|outgoing traffic has been disabled|"
        r"couldn't connect to 'https://huggingface\.co'|offline mode is enabled|HF_HUB_OFFLINE",
        "the model or data is not on this machine, and the hub cannot be reached",
        "download it where there is a network (hf download NAME), and set MODEL or DATA to that folder; unset "
        "HF_HUB_OFFLINE if the network is there",
        (HERE,),
    ),
    Signature(
        "model-type",
        r"does not recognize this architecture",
        "this version of transformers does not know the model's type",
        "a newer transformers, as far as verl and vLLM allow it (docs/versions.md); else the model is too new for them",
        ("vLLM #36217", "vLLM #13579", "vLLM #19793", HERE),
    ),
    Signature(
        "architecture",
        r"Model architectures .*(?:not supported|failed to be inspected)|has no vLLM implementation",
        "this version of vLLM has no such model",
        "a vLLM that lists it among its supported models, or another model",
        (HERE,),
    ),
    Signature(
        "context",
        r"max_model_len .* is greater than the derived max_model_len|"
        r"max_model_len \(\d+\) should be less than or equal to max_position_embeddings",
        "more tokens are asked for than the model's context has",
        "lower rollout.max_model_len, or prompt plus response length; `permix doctor --model` compares them",
        ("vLLM #3676", "vLLM #7080", HERE),
    ),
    Signature(
        "lora-rank",
        r"LoRA rank \d+ is greater than max_lora_rank",
        "the adapter's rank is above what vLLM was started for",
        "max_lora_rank (eval/run.py sets it by itself; vllm serve --max-lora-rank) of at least the adapter's rank",
        ("vLLM #2847", "gpustack #5438", "LlamaFactory #9512", HERE),
    ),
    Signature(
        "lora-modules",
        r"expected target modules in|unsupported LoRA weight|only supports modules_to_save|"
        r"vLLM does not yet support \w+|target modules? .* not supported",
        "the adapter changes modules that vLLM does not adapt (embeddings, the output layer, DoRA)",
        "train the adapter on linear layers alone (target_modules), or merge it into its base: permix merge",
        ("vLLM #6983", HERE),
    ),
    Signature(
        "peft-targets",
        r"Target modules .* not found in the base model",
        "the model has no modules of the names in target_modules",
        "name those that it has (for Llama and Qwen q_proj and so on, or all-linear)",
        ("PEFT #1206", "LMFlow #125", HERE),
    ),
    Signature(
        "adapter-shape",
        r"size mismatch for base_model",
        "the adapter was trained on another model, or its file is empty",
        "its adapter_config.json names the base; shapes of 0 come from saving under ZeRO-3 or FSDP without gathering",
        ("PEFT #276", "PEFT #554", "PEFT #1443", HERE),
    ),
    Signature(
        "chat-template",
        r"chat_template is not set|default chat template is no longer allowed",
        "the tokenizer has no chat template: it is a base model's",
        "take the model's -Instruct release, or copy a chat_template.jinja into its folder",
        ("transformers #33246", "OpenRLHF #613", HERE),
    ),
    Signature(
        "template-roles",
        r"Conversation roles must alternate|[Ss]ystem role (?:is )?not supported",
        "the model's chat template refuses these roles",
        "its template knows no system role: choose a model whose template does; `permix doctor --model` renders every "
        "persona first",
        (HERE,),
    ),
)
