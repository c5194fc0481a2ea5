"""The plugin as verl loads it, in fresh processes."""

import os
import subprocess
import sys


def in_verl(code: str, **environment: str) -> str:
    """Return the output of code run after ``import verl`` in a fresh process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    done = subprocess.run(
        [sys.executable, "-c", f"import verl\n{code}"], capture_output=True, text=True, env=clean | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_verl_finds_the_platform_the_engine_and_vllm() -> None:
    code = (
        "import importlib.metadata, permix_verl.plugin as plugin\n"
        "from verl.plugin.platform import get_platform\n"
        "from verl.workers.engine import EngineRegistry\n"
        "print(plugin.active, type(get_platform()).__name__, importlib.metadata.version('vllm'),\n"
        "      EngineRegistry.get_engine_cls('language_model', 'fsdp2').__name__)"
    )
    assert in_verl(code).splitlines()[-1] == "True PlatformCPU 0.28.0+cpu ResponseEngine"


def test_the_plugin_is_inactive_for_another_platform() -> None:
    code = (
        "import permix_verl.plugin as plugin, sys\n"
        "from verl.plugin.platform import PlatformRegistry\n"
        "print(plugin.active, 'cpu' in PlatformRegistry.registered_names(), "
        "'permix_verl.platform_cpu.patches' in sys.modules)"
    )
    assert in_verl(code, VERL_PLATFORM="nvidia").splitlines()[-1] == "False False False"


def test_a_failing_plugin_raises() -> None:
    code = (
        "import permix_verl.platform_cpu.patches as p; p.VERL_VERSION = '0.0'\n"
        "try:\n    import permix_verl.plugin\nexcept p.PatchError:\n    print('raised')"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean)
    assert done.stdout.strip() == "raised"
    assert "permix_verl: the CPU platform for verl could not be set up" in done.stderr
