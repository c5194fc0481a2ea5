"""Memory: of GPUs, of the machine, of what is shared between processes."""

from permix_verl.explain.signatures.signature import HERE, Signature

MEMORY = (
    Signature(
        "kv-cache-none",
        r"No available memory for the cache blocks",
        "the model's weights leave vLLM no memory for its KV cache",
        "raise rollout.gpu_memory_utilization, or free the GPU: a smaller tensor share (rollout.tensor_model_parallel_"
        "size), param_offload; on a CPU raise VLLM_CPU_KVCACHE_SPACE; `permix plan` says what each part takes",
        ("vLLM #2248", "vLLM #27508"),
    ),
    Signature(
        "kv-cache-short",
        r"larger than the (?:available KV cache memory|maximum number of tokens that can be stored in KV cache)",
        "vLLM's KV cache cannot hold one sequence of max_model_len tokens",
        "lower rollout.max_model_len to prompt plus response, or raise rollout.gpu_memory_utilization (on a CPU "
        "VLLM_CPU_KVCACHE_SPACE)",
        ("vLLM #2418", "vLLM #11391", HERE),
    ),
    Signature(
        "memory-taken",
        r"(?:Free|Available) memory on (?:device|node).* is less than (?:the )?(?:desired|requested)",
        "something else holds memory that vLLM was told to take",
        "see who does (nvidia-smi, top; a run that was killed leaves processes), or lower "
        "rollout.gpu_memory_utilization "
        "(on a CPU VLLM_CPU_KVCACHE_SPACE)",
        ("vLLM #20305", "PyTorch #175666", HERE),
    ),
    Signature(
        "cuda-memory",
        r"CUDA out of memory|CUDA [Ee]rror: out of memory|CUBLAS_STATUS_ALLOC_FAILED",
        "a GPU is out of memory",
        "in an update: fewer sequences at once (ppo_micro_batch_size_per_gpu, log_prob_micro_batch_size_per_gpu), "
        "offload; when vLLM wakes up: a lower rollout.gpu_memory_utilization; `permix plan` says what each turn takes",
        ("verl #302", "verl #2828", "vLLM #13941"),
        line=True,
    ),
    Signature(
        "ray-memory",
        r"due to the node running low on memory|killed due to memory pressure|exceeds the memory usage threshold",
        "Ray ended a worker because the machine was nearly out of memory",
        "use less of it (fewer agent loop and reward workers, no offload to the CPU, smaller batches), or a machine "
        "with more; RAY_memory_usage_threshold moves Ray's limit, and then the kernel's comes next",
        ("Ray #30312", "Ray #28778", HERE),
        line=True,
    ),
    Signature(
        "kernel-memory",
        r"Out of memory: Killed process|oom-kill|oom_reaper|Memory cgroup out of memory|\bOOMKilled\b|"
        r"exceeded K8s pod memory limits",
        "the kernel ended a process because the machine, or its container, was out of memory",
        "use less memory (fewer workers, no offload to the CPU, smaller batches) or allow the container more",
        ("Agent-R1 #33", "verl #275"),
        line=True,
    ),
    Signature(
        "shared-memory",
        r"insufficient shared memory|killed by signal: Bus error|Error while creating shared memory segment|"
        r"ncclShmOpen|posix_fallocate failed|\bBus error\b|[Uu]nable to (?:open|allocate|mmap|"
        r"write to file) \S* ?(?:shared memory|</torch_)|"
        r"No space left on device.*/dev/shm|/dev/shm.*No space left on device",
        "/dev/shm is too small",
        "give the container more: docker run --shm-size=16g, or --ipc=host; `permix doctor` measures it",
        ("vLLM #1710", "NCCL #290", "MiniMax-01 #42", HERE),
        line=True,
    ),
    Signature(
        "host-memory",
        r"DefaultCPUAllocator: (?:can't|not enough) |\[Errno 12\]|^MemoryError|std::bad_alloc",
        "the machine has no memory left for this process",
        "use less of it (fewer workers, smaller batches, no offload to the CPU), or see who holds it",
        (HERE,),
        line=True,
    ),
)
