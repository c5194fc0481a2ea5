"""Failures of the machine: disk, files, ports, processors, signals."""

from permix_verl.explain.signatures.signature import HERE, Signature

MACHINE = (
    Signature(
        "disk-full",
        r"No space left on device|OutOfDiskError|\[Errno 28\]|\[Errno 122\]|Disk quota exceeded|"
        r"basic_ios::clear: iostream error|unexpected pos \d+ vs \d+|PytorchStreamWriter failed writing",  # torch.save
        "a disk is full, or its quota is used up",
        "free it (old checkpoints: trainer.max_actor_ckpt_to_keep; /tmp/ray; the hub's cache), or point RUN_DIR, "
        "RAY_TMPDIR or HF_HOME elsewhere",
        ("Ray #15595", "Ray #17801", HERE),
        line=True,
    ),
    Signature(
        "ray-disk",
        r"is over 95% full.*Object creation will fail if spilling is required",
        "the disk of Ray's temporary folder is nearly full, and Ray stops spilling objects there",
        "free it, or start Ray with RAY_TMPDIR on a larger disk",
        ("vLLM #721", "vLLM #3568", "lmdeploy #3457"),
        kind="wait",
        line=True,
    ),
    Signature(
        "permission",
        r"PermissionError|\[Errno 13\]|\[Errno 30\]|Read-only file system",
        "a file or folder may not be read or written by this user",
        "its path is in the message: change its owner or mode, or point RUN_DIR, HF_HOME or RAY_TMPDIR elsewhere",
        (HERE,),
    ),
    Signature(
        "open-files",
        r"Too many open files|\[Errno 24\]|Too many workers, failed to create a file",
        "the limit on open files is reached; Ray opens two for every worker, and sockets",
        "ulimit -n 65536 in the shell that starts Ray and the run (for containers --ulimit nofile), and fewer CPUs for "
        "Ray (ray_kwargs.ray_init.num_cpus) on machines with hundreds",
        ("verl #2047", "Ray #10104", HERE),
        line=True,
    ),
    Signature(
        "threads",
        r"can't start new thread|Resource temporarily unavailable \[system:11\]|pthread_create failed|"
        r"\[Errno 11\] Resource temporarily unavailable",
        "the limit on processes and threads of this user, or of the container, is reached",
        "ulimit -u unlimited (for containers --pids-limit), OMP_NUM_THREADS=1, fewer workers",
        ("verl #472",),
        line=True,
    ),
    Signature(
        "port-taken",
        r"[Aa]ddress already in use|EADDRINUSE|\[Errno 98\]",
        "a port is taken: another run, or what one that was killed left behind",
        "see who listens (ss -ltnp), end it, or choose another port (torchrun --master-port, vLLM --port)",
        ("verl #3521", "verl #5889", "vLLM #11617", HERE),
        line=True,
    ),
    Signature(
        "illegal-instruction",
        r"Illegal instruction|\*\*\* SIGILL received|exit ?code ?:? *-4\b|Signal 4 \(SIGILL\)|: -4\b[,}]",
        "a process executed an instruction that this processor does not have",
        "packages were built for another processor (AVX512, ARMv8.2): see lscpu, and install torch and vLLM builds for "
        "this one, or build them here",
        ("ipex-llm #12922", "vllm-ascend #13936", HERE),
        line=True,
    ),
    Signature(
        "segmentation-fault",
        r"Fatal Python error: Segmentation fault|\*\*\* SIGSEGV received|exit ?code ?:? *-11\b|Signal 11 \(SIGSEGV\)|"
        r"^(?:.*: )?Segmentation fault(?: +\(core dumped\))?$|: -11\b[,}]",
        "a process crashed in compiled code",
        "the frames below the message say in which package; most often two packages that were built against different "
        "versions of torch or CUDA: install the pinned set again",
        (HERE,),
        line=True,
    ),
    Signature(
        "killed",
        r"exit ?code ?:? *-9\b|Signal 9 \(SIGKILL\)|killed by signal: Killed|^Killed$|Signals?\.SIGKILL|: -9\b[,}]",
        "a process was killed (signal 9): by the kernel when memory ran out, by a scheduler, or by hand",
        "ask the kernel (dmesg -T | grep -i kill, or the container's events); if it was memory: fewer workers, smaller "
        "batches, no offload to the CPU",
        ("verl #275", HERE),
        line=True,
    ),
    Signature(
        "loader-gone",
        r"DataLoader worker \(pid.*exited unexpectedly",
        "a worker of the data loader is gone",
        "data.dataloader_num_workers=0 shows its own error; if there is none it was killed, most often for memory",
        (HERE,),
    ),
)
