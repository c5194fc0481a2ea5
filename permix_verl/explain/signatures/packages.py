"""Packages that do not fit each other, the GPU or the driver."""

from permix_verl.explain.signatures.signature import HERE, Signature

_PINNED = "install the pinned set again (pip install -e '.[gpu]' or '.[cpu]'); `permix doctor` compares what is there"

PACKAGES = (
    Signature(
        "weights-mapper",
        r"get_unstacked_mapper",
        "verl 0.9.1 calls a method of vLLM's weight mapper that exists in vLLM 0.25 to 0.28 under this name",
        "install a vLLM of the pinned set, or one that docs/versions.md lists",
        ("unsloth-zoo #1197", "ms-swift #9946", HERE),
    ),
    Signature(
        "flash-attn-abi",
        r"flash_attn.*undefined symbol",
        "flash-attn was built against another version of torch",
        "install the wheel that names this torch, CUDA, Python and cxx11abi, or build it: "
        "pip install --no-build-isolation flash-attn; or do without: "
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
        ("flash-attention #723", "flash-attention #1832", "flash-attention #931"),
    ),
    Signature(
        "flash-attn-missing",
        r"FlashAttention2 has been toggled on|No module named 'flash_attn",
        "flash-attn is not installed, and the model asks for it",
        "+actor_rollout_ref.model.override_config.attn_implementation=sdpa and model.use_remove_padding=False, as the "
        "recipes have it; or install flash-attn",
        ("EasyR1 #384", HERE),
    ),
    Signature(
        "binary-mismatch",
        r"undefined symbol|version `(?:GLIBC|GLIBCXX|CXXABI)\S*' not found|"
        r"(?:ImportError|OSError): .*cannot open shared object file|operator torchvision::nms does not exist",
        "a compiled package does not fit the torch, CUDA or C library that is installed",
        _PINNED,
        ("GLM-4 #510", "flash-attention #853", HERE),
    ),
    Signature(
        "numpy-abi",
        r"numpy\.dtype size changed|compiled using NumPy 1\.x|_ARRAY_API not found|"
        r"numpy\.core\.multiarray failed to import",
        "a package was compiled against NumPy 1 and runs with NumPy 2, or the other way round",
        "upgrade the package at the end of the traceback, or pip install 'numpy<2'",
        ("vLLM #34041", "TensorFlow #98406"),
        line=True,
    ),
    Signature(
        "tensordict",
        r"'ForkingPickler'|from 'tensordict|TensorDict does not support membership checks",
        "tensordict does not fit verl, or torch",
        "verl 0.9.1 wants tensordict of 0.8 to 0.10, other than 0.9.0; " + _PINNED,
        ("verl #700", "verl #1776", "tensordict #1048"),
    ),
    Signature(
        "transfer-queue",
        r"No module named 'transfer_queue'",
        "verl's trainer needs TransferQueue, which pip install verl leaves out",
        "pip install 'TransferQueue>=0.1.10'",
        ("verl #7320",),
    ),
    Signature(
        "driver-old",
        r"NVIDIA driver on your system is too old|CUDA driver version is insufficient",
        "torch was built for a newer CUDA than the driver runs",
        "update the driver, or install torch and vLLM for the CUDA that nvidia-smi names",
        ("vLLM #1772", "FunASR #2973"),
    ),
    Signature(
        "no-kernel-image",
        r"no kernel image is available for execution on the device",
        "torch, vLLM or flash-attn were not built for this kind of GPU",
        "install builds for its compute capability (newer ones for a new GPU, older ones for an old), or build them",
        ("vLLM #4604", "vLLM #19906", "vLLM #14452"),
    ),
    Signature(
        "illegal-address",
        r"an illegal memory access was encountered|cudaErrorIllegalAddress|device-side assert triggered",
        "a kernel on a GPU read or wrote where it must not",
        "CUDA_LAUNCH_BLOCKING=1 shows which one; most often a token id beyond the vocabulary, or a kernel that "
        "does not "
        "fit the driver: another version of vLLM or flash-attn, rollout.enforce_eager=True",
        ("vLLM #14404", "vLLM #13939", "vLLM #6976"),
    ),
    Signature(
        "bf16",
        r"[Bb]float16 is only supported on GPUs with compute capability|does not support bf16",
        "this GPU has no bfloat16",
        "actor_rollout_ref.rollout.dtype=float16 for vLLM; training in bfloat16 needs an Ampere GPU or newer",
        ("vLLM #946", "vLLM #1157"),
    ),
    Signature(
        "c-compiler",
        r"Failed to find C compiler|fatal error: Python\.h: No such file",
        "Triton compiles at run time, and there is no C compiler, or no Python headers",
        "install them (apt install gcc python3-dev), or set CC; rollout.enforce_eager=True avoids some of it",
        ("vLLM #2997", "vLLM #15329"),
        line=True,
    ),
    Signature(
        "bootstrapping",
        r"finished its bootstrapping phase",
        "a script starts vLLM at its top level, and every process that vLLM starts runs the script again",
        "put what it does below if __name__ == '__main__':",
        ("vLLM #5637", HERE),
    ),
    Signature(
        "module-missing",
        r"ModuleNotFoundError: No module named",
        "a package is not installed where this process runs",
        "install it in the environment that the run uses (PYTHON, .venv), on every node; `permix doctor` lists what is "
        "missing",
        (HERE,),
    ),
)
