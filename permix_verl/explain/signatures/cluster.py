"""Failures of Ray and of communication between ranks."""

from permix_verl.explain.signatures.signature import HERE, Signature

CLUSTER = (
    Signature(
        "ray-version",
        r"Version mismatch: The cluster was started with",
        "the cluster runs another version of Ray or Python than this process",
        "use one environment on every node: the same Ray, and the same Python to its last number",
        ("Ray #44063", "Ray #50511", "Logic-RL #30", HERE),
    ),
    Signature(
        "ray-token",
        r"AuthenticationError|Token authentication is enabled but|InvalidAuthToken|Unauthenticated: ",
        "the Ray cluster wants a token, and got none or another one",
        "RAY_AUTH_MODE=token and the cluster's RAY_AUTH_TOKEN for every process; `permix doctor` asks the cluster",
        ("Ray #59031", "Ray #64755", HERE),
    ),
    Signature(
        "ray-gpus",
        r"Total available GPUs .* is less than total desired GPUs|"
        r"number of required (?:GPUs|\w+) exceeds the total number of available",
        "the cluster has fewer GPUs than the run asks for",
        "trainer.n_gpus_per_node times trainer.nnodes must be there and free: see ray status, "
        "CUDA_VISIBLE_DEVICES, and "
        "what an earlier run still holds",
        ("verl #2515", "vLLM #2416", HERE),
    ),
    Signature(
        "ray-pending",
        r"cannot be scheduled right now|No available node types can fulfill|"
        r"insufficient resources.*placement group|[Pp]lacement group.*(?:timed? ?out|pending|infeasible)",
        "Ray waits for CPUs or GPUs that the cluster does not have, or that others hold",
        "see ray status; start Ray with more (--num-cpus; verl wants one for each of its actors), or end what "
        "holds them",
        ("verl #6663", HERE),
        kind="wait",
        line=True,
    ),
    Signature(
        "ray-import",
        r"(?s)failed to (?:be )?import(?:ed)?\b.*No module named|Failed to (?:load|unpickle) (?:actor|function|remote)",
        "a worker cannot import what it is sent: its module is not in the workers' path",
        "install it in the environment of every node, or put its folder in PYTHONPATH before Ray is started",
        ("Ray #8794", "Ray #5235", HERE),
    ),
    Signature(
        "pickle",
        r"[Cc]annot pickle|can't pickle|Could not serialize|PicklingError|unsupported pickle protocol",
        "something is sent to another process that cannot be packed up: a lock, an open file, a connection, a module",
        "make it inside the worker, not outside; the message names it",
        ("verl #1293", "verl #3150", HERE),
    ),
    Signature(
        "runtime-env",
        r"RuntimeEnvSetupError|[Rr]untime[_ ]env.*(?:invalid|failed|not found|error)|working_dir.*(?:not|must)|"
        r"directory \S+ must be an existing directory|"
        r"is not a valid (?:path|URI)",
        "Ray cannot set up the workers' environment",
        "its folder or packages are in the message; where it is large, give Ray less than the whole project as "
        "working_dir",
        ("tracecat #1361", HERE),
    ),
    Signature(
        "ray-silent",
        r"Could not find any running Ray instance|(?:Failed|[Uu]nable|not able) to connect to GCS|"
        r"waiting for GCS to become available|Failed to get cluster ID from GCS",
        "no Ray cluster answers at this address",
        "start it (ray start --head), see RAY_ADDRESS, its port, and firewalls between the nodes; unset RAY_ADDRESS to "
        "let the run start its own",
        (HERE,),
        kind="wait",
        line=True,
    ),
    Signature(
        "nccl-timeout",
        r"Watchdog caught collective operation timeout",
        "ranks waited for each other longer than NCCL's limit: one of them does something else, or is gone",
        "look for the rank that says nothing, and for what it did last (py-spy dump --pid); batches of very different "
        "length, a save or a reward within the step and a slow disk need a higher limit "
        "(actor_rollout_ref.actor.fsdp_config and TORCH_NCCL settings)",
        ("verl #1158", "PyTorch #118369", "vLLM #5484"),
        line=True,
    ),
    Signature(
        "duplicate-gpu",
        r"Duplicate GPU detected",
        "two ranks were given the same GPU",
        "as many GPUs as ranks: CUDA_VISIBLE_DEVICES, and a server of its own GPU for vLLM where it is not in "
        "the trainer",
        ("TRL #3158",),
        line=True,
    ),
    Signature(
        "nccl-system",
        r"unhandled system error|ncclSystemError|unhandled cuda error|ncclUnhandledCudaError|ncclInternalError|"
        r"NCCL error: invalid usage",
        "NCCL cannot set up or use the connection between GPUs",
        "NCCL_DEBUG=INFO says which call; most often /dev/shm is too small, the network interface is the wrong one "
        "(NCCL_SOCKET_IFNAME), or peer access is not allowed (NCCL_P2P_DISABLE=1 to see)",
        ("vLLM #4618", "vLLM #10626", "vLLM #6574"),
    ),
    Signature(
        "gloo-timeout",
        r"Timed out waiting \d+ms for (?:recv|send) operation|wait timeout after \d+ ?ms|"
        r"Timed out after \d+ seconds waiting for clients|Application timeout caused pair closure",
        "ranks waited for each other longer than the limit: one of them does something else, or is gone",
        "look for the rank that says nothing, and for what it did last (py-spy dump --pid)",
        (HERE,),
    ),
    Signature(
        "broadcast-wait",
        r"No available shared memory broadcast block found",
        "a worker of vLLM's tensor-parallel group does not take its next order",
        "see what the workers do (py-spy dump --pid); with several GPUs most often NCCL hangs: NCCL_DEBUG=INFO, "
        "NCCL_P2P_DISABLE=1, rollout.enforce_eager=True to find out where",
        ("vLLM #27313", "vLLM #46611"),
        kind="wait",
        line=True,
    ),
)
