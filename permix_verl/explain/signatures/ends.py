"""Ends without a reason in the log: dead processes, echoes of them, and stops from outside."""

from permix_verl.explain.signatures.signature import HERE, Signature

ENDS = (
    Signature(
        "engine-gone",
        r"[Ee]ngine ?[Cc]ore (?:proc \S+ )?(?:exited|died) unexpectedly|[Ww]orker proc \S+ died unexpectedly|"
        r"its engine process has died",
        "vLLM's engine process is gone, and did not say why",
        "what the kernel knows: dmesg -T | grep -i kill; most often memory ran out (VLLM_CPU_KVCACHE_SPACE and the "
        "trainer share the machine's)",
        ("verl #4921", HERE),
        kind="death",
        line=True,
    ),
    Signature(
        "engine-start",
        r"WorkerProc initialization failed due to an exception in a background process|"
        r"Engine core initialization failed",
        "vLLM's engine ended while it started, and the log has no error of its own",
        'a signal ended it: dmesg -T has "trap invalid opcode" where a package was built for another processor, and '
        '"Out of memory" where that ran out',
        ("vLLM #19906", HERE),
        kind="death",
    ),
    Signature(
        "actor-gone",
        r"(?:ActorDiedError|RayActorError|WorkerCrashedError)\b|A worker died or was killed while executing|"
        r"The actor is dead because its worker process has died",
        "a Ray actor's process is gone, and did not say why",
        "what the kernel knows: dmesg -T | grep -i kill; what Ray knows: the actor's pid in "
        "/tmp/ray/session_latest/logs; "
        "most often memory ran out: verl wants 80 GB of it per GPU",
        ("verl #275", "verl #4921", "Logic-RL #18", HERE),
        kind="death",
        line=True,
    ),
    Signature(
        "raylet-gone",
        r"Raylet is terminated|local raylet has crashed|[Rr]aylet connection closed|"
        r"Could not connect to socket /",
        "Ray's own process on a node is gone, and its workers with it",
        "its last words are in raylet.out and raylet.err of /tmp/ray/session_latest/logs on that node; the kernel's in "
        "dmesg -T | grep -i kill",
        ("Ray #44112", "Ray #4723", "Ray #19695"),
        kind="death",
        line=True,
    ),
    Signature(
        "worker-start",
        r"have not registered within the timeout",
        "processes of Ray's workers crash, or take too long, while they start",
        "their own words are in /tmp/ray/session_latest/logs (raylet.err, python-core-worker-*.log); an "
        "interpreter that "
        "is not there, a package that breaks its import, or too many at once (ray_kwargs.ray_init.num_cpus)",
        (HERE,),
        kind="death",
        line=True,
    ),
    Signature(
        "rank-exit",
        r"failed \(exitcode: [1-9]\d*\) local_rank: \d+",
        "a rank of torchrun ended with an error status, and printed no exception",
        "its own output, before this line, has what there is; torchrun's table at the end names the rank that "
        "was first",
        (HERE,),
        kind="death",
        line=True,
    ),
    Signature(
        "node-gone",
        r"ActorUnavailableError|NodeDiedError|marked dead because the detector|node .* has died|"
        r"RpcError: .*Socket closed",
        "a process cannot be reached any more, perhaps with its node",
        "start Ray there again, or on another node; the same command then goes on from the last checkpoint",
        (HERE,),
        kind="death",
    ),
    Signature(
        "watchdog",
        r"^permix_verl: (?!the live settings)(?P<said>.*)|\bRolloutError\b|\bEngineDiedError\b",
        "this project's watchdog ended the run",
        "its message names the part; the same command goes on from the last checkpoint",
        (HERE,),
        kind="death",
        line=True,
    ),
    Signature(
        "timed-out",
        r"GetTimeoutError|(?:^|\.)TimeoutError\b|(?:^|\.)TimeoutExpired\b",
        "something was waited for, and did not come in time",
        "look for the process that says nothing any more, and for what it did last (py-spy dump --pid, ray status)",
        (HERE,),
        kind="wait",
    ),
    Signature(
        "echo",
        r"EngineDeadError|ChildFailedError|[Cc]onnection (?:was )?(?:closed|reset) "
        r"by peer|ConnectionResetError|Broken pipe|Socket closed|recvValue failed|ncclRemoteError|"
        r"remote process (?:has )?exited|died because of an error raised in its creation task|ObjectLostError|"
        r"OwnerDiedError|ReferenceCountingAssertionError|ServerDisconnectedError|"
        r"DistNetworkError: .*(?:recv|send|connection)|process group .*has been destroyed|TaskCancelledError|"
        r"got 0 bytes|pair closed|Failed to recv, ",
        "another process ended; this one only saw it",
        "the log has no more: look at the log of the process that ended first",
        (HERE,),
        kind="echo",
    ),
    Signature(
        "stopped",
        r"KeyboardInterrupt|SignalException|SystemExit|exit ?code ?:? *-15\b|Signal 15 \(SIGTERM\)|DUE TO TIME LIMIT",
        "it was ended from outside: Ctrl-C, SIGTERM, or a scheduler",
        "the same command goes on from the last checkpoint",
        (HERE,),
        kind="stop",
        line=True,
    ),
)
