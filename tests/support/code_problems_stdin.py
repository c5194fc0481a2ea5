"""Problems in the manner of AtCoder and Codeforces: a program reads standard input and prints its answer."""

from .code_problems_form import Problem, Wrong

STDIN = (
    Problem(
        id="abc901_a",
        title="One for Free",
        difficulty="easy",
        statement="A customer buys N things with prices A_1 to A_N and gets the dearest one, a single one, for free. "
        "Print what is to be paid.\n\nInput: N, then the prices on one line.",
        tests=(
            ("3\n100 250 80\n", "180\n"),
            ("1\n500\n", "0\n"),
            ("4\n7 7 7 7\n", "21\n"),
            ("2\n1 1000000000\n", "1\n"),
            ("5\n3 1 4 1 5", "9\n"),
        ),
        right={
            "input()": """
n = int(input())
a = list(map(int, input().split()))
print(sum(a) - max(a))
""",
            "main guard": """
import sys


def main():
    n = int(sys.stdin.readline())
    prices = [int(x) for x in sys.stdin.readline().split()]
    prices.sort()
    total = 0
    for i in range(n - 1):
        total += prices[i]
    print(total)


if __name__ == "__main__":
    main()
""",
            "prints 180.0": """
n, *a = map(int, open(0).read().split())
print(float(sum(a) - max(a)))
""",
            "exit() in the middle": """
n = int(input())
a = list(map(int, input().split()))
if n == 1:
    print(0)
    exit()
best = a[0]
rest = 0
for x in a[1:]:
    if x > best:
        rest += best
        best = x
    else:
        rest += x
print(rest)
""",
        },
        wrong={
            "all of the dearest are free": Wrong(
                """
n = int(input())
a = list(map(int, input().split()))
print(sum(x for x in a if x != max(a)))
""",
                at=3,
                only=True,
            ),
            "leaves before it prints": Wrong(
                """
import sys
n = int(input())
a = list(map(int, input().split()))
if n == 1:
    sys.exit()
print(sum(a) - max(a))
""",
                at=2,
                only=True,
            ),
            "debugging print": Wrong(
                """
n = int(input())
a = sorted(map(int, input().split()))
print("sorted:", a)
print(sum(a[:-1]))
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="abc901_b",
        title="Ballots",
        difficulty="easy",
        statement="N ballots each hold a name. Print the name on most of them; of several such names, the one that is "
        "first in lexicographic order.\n\nInput: N, then a name a line.",
        tests=(
            ("5\nmaki\nren\nmaki\nsora\nren\n", "maki\n"),
            ("1\nzoe\n", "zoe\n"),
            ("4\nzoe\nabe\nabe\nzoe\n", "abe\n"),
            ("3\na\nb\nb", "b\n"),
            ("6\nb\nab\na\nb\na\nab\n", "a\n"),
        ),
        right={
            "Counter without import": """
votes = Counter(input() for _ in range(int(input())))
print(min(votes, key=lambda name: (-votes[name], name)))
""",
            "iterates over sys.stdin": """
import sys
next(sys.stdin)
tally = {}
for line in sys.stdin:
    name = line.strip()
    tally[name] = tally.get(name, 0) + 1
most = max(tally.values())
print(sorted(name for name, votes in tally.items() if votes == most)[0])
""",
            "defaultdict and stdin without import": """
n = int(stdin.readline())
count = defaultdict(int)
for _ in range(n):
    count[stdin.readline().rstrip()] += 1
best, best_votes = None, 0
for name in sorted(count):
    if count[name] > best_votes:
        best, best_votes = name, count[name]
print(best)
""",
            "/dev/stdin": """
from itertools import groupby
n, *names = open('/dev/stdin').read().split()
runs = [(-len(list(run)), name) for name, run in groupby(sorted(names))]
print(min(runs)[1])
""",
        },
        wrong={
            "the first that was seen": Wrong(
                """
votes = {}
for _ in range(int(input())):
    name = input()
    votes[name] = votes.get(name, 0) + 1
print(max(votes, key=votes.get))
""",
                at=3,
            ),
            "the last of the tied": Wrong(
                """
from collections import Counter
votes = Counter(input() for _ in range(int(input())))
print(max(votes, key=lambda name: (votes[name], name)))
""",
                at=1,
            ),
            "reads one line too few": Wrong(
                """
from collections import Counter
n = int(input())
votes = Counter(input() for _ in range(n - 1))
print(min(votes, key=lambda name: (-votes[name], name)))
""",
                at=2,
                detail="ValueError",
            ),
            "cuts the last letter where no newline is": Wrong(
                """
import sys
from collections import Counter
n = int(sys.stdin.readline())
votes = Counter(sys.stdin.readline()[:-1] for _ in range(n))
print(min(votes, key=lambda name: (-votes[name], name)))
""",
                at=4,
                only=True,
            ),
        },
    ),
    Problem(
        id="9901_A",
        title="Closing Time",
        difficulty="easy",
        statement="For each of t strings of round brackets print Yes if every bracket has its partner in the right "
        "order, and No if not.\n\nInput: t, then a string a line.",
        tests=(
            ("3\n()\n)(\n(())\n", "Yes\nNo\nYes\n"),
            ("2\n(\n()\n", "No\nYes\n"),
            ("2\n())(\n((()))\n", "No\nYes\n"),
            ("4\n()()\n(()\n))((\n()\n", "Yes\nNo\nNo\nYes\n"),
        ),
        right={
            "sys.stdin.buffer.read()": """
import sys
data = sys.stdin.buffer.read().split()
for s in data[1:]:
    depth = 0
    for c in s:
        depth += 1 if c == 40 else -1
        if depth < 0:
            break
    print("Yes" if depth == 0 else "No")
""",
            "print with sep": r"""
def balanced(s):
    while "()" in s:
        s = s.replace("()", "")
    return not s


print(*("Yes" if balanced(input()) else "No" for _ in range(int(input()))), sep="\n")
""",
            "global state in functions": r"""
import sys

depth = 0
answers = []


def step(c):
    global depth
    if depth < 0:
        return
    depth += 1 if c == "(" else -1


def solve(s):
    global depth
    depth = 0
    for c in s:
        step(c)
    answers.append("Yes" if depth == 0 else "No")


t = int(sys.stdin.readline())
for _ in range(t):
    solve(sys.stdin.readline().strip())
sys.stdout.write("\n".join(answers) + "\n")
""",
            "blank lines behind and spaces at the ends": r"""
for _ in range(int(input())):
    stack = []
    good = True
    for c in input().strip():
        if c == "(":
            stack.append(c)
        elif stack:
            stack.pop()
        else:
            good = False
    print("Yes" if good and not stack else "No", end=" \n")
print("\n\n")
""",
        },
        wrong={
            "counts them only": Wrong(
                """
for _ in range(int(input())):
    s = input()
    print("Yes" if s.count("(") == s.count(")") else "No")
""",
                at=1,
            ),
            "shouts": Wrong(
                """
for _ in range(int(input())):
    s = input()
    while "()" in s:
        s = s.replace("()", "")
    print("NO" if s else "YES")
""",
                at=1,
            ),
            "does not see what is left open": Wrong(
                """
def check(s):
    depth = 0
    for c in s:
        depth += 1 if c == "(" else -1
        if depth < 0:
            return "No"
    return "Yes"


for _ in range(int(input())):
    print(check(input()))
""",
                at=2,
            ),
            "an answer for the first line too": Wrong(
                """
import sys
for line in sys.stdin:
    s = line.strip()
    while "()" in s:
        s = s.replace("()", "")
    print("No" if s else "Yes")
""",
                at=1,
            ),
            "no answer behind a No": Wrong(
                """
for _ in range(int(input())):
    s = input()
    while "()" in s:
        s = s.replace("()", "")
    print("No" if s else "Yes")
    if s:
        break
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="abc902_c",
        title="New Records",
        difficulty="easy",
        statement="How many of the numbers A_1 to A_N are greater than all before them? The first one always counts."
        "\n\nInput: N (at most 100000), then the numbers on one line.",
        cpu_s=2,
        tests=(
            ("5\n3 1 4 1 5\n", "3\n"),
            ("1\n0\n", "1\n"),
            ("4\n2 2 2 2\n", "1\n"),
            ("3\n-5 -7 -1\n", "2\n"),
            ("60000\n" + " ".join(map(str, range(60_000))) + "\n", "60000\n"),
        ),
        right={
            "accumulate without import": """
n = int(input())
a = list(map(int, input().split()))
print(len(set(accumulate(a, max))))
""",
            "os.read": """
import os
data = os.read(0, os.fstat(0).st_size).split()
best = None
count = 0
for word in data[1:]:
    x = int(word)
    if best is None or x > best:
        best = x
        count += 1
os.write(1, str(count).encode())
""",
            "numpy": """
import sys
import numpy as np
a = np.array(sys.stdin.buffer.read().split()[1:], dtype=np.int64)
top = np.maximum.accumulate(a)
print(1 + np.count_nonzero(top[1:] > top[:-1]))
""",
            "inf without import": """
n = int(input())
best = -inf
records = []
for x in map(int, input().split()):
    if x > best:
        records.append(x)
        best = x
print(len(records))
""",
        },
        wrong={
            "equals count": Wrong(
                """
n = int(input())
a = list(map(int, input().split()))
best, count = a[0], 0
for x in a:
    if x >= best:
        best = x
        count += 1
print(count)
""",
                at=3,
                only=True,
            ),
            "begins at zero": Wrong(
                """
n = int(input())
best = count = 0
for x in map(int, input().split()):
    if x > best:
        best = x
        count += 1
print(count)
""",
                at=2,
            ),
            "quadratic": Wrong(
                """
n = int(input())
a = list(map(int, input().split()))
print(sum(all(a[j] < a[i] for j in range(i)) for i in range(n)))
""",
                at=5,
                status="timeout",
                only=True,
            ),
            "maximum anew each time": Wrong(
                """
n = int(input())
a = list(map(int, input().split()))
count = 1
for i in range(1, n):
    if a[i] > max(a[:i]):
        count += 1
print(count)
""",
                at=5,
                status="timeout",
                only=True,
            ),
        },
    ),
    Problem(
        id="abc902_a",
        title="Rounded Mean",
        difficulty="easy",
        statement="Print the mean of N non-negative integers, rounded to the nearest integer; a half is rounded up."
        "\n\nInput: N, then the integers (at most 10^18) on one line.",
        tests=(
            ("3\n1 2 3\n", "2\n"),
            ("2\n1 2\n", "2\n"),
            ("2\n2 3\n", "3\n"),
            ("1\n0\n", "0\n"),
            ("3\n1 1 2\n", "1\n"),
            ("2\n999999999999999997 999999999999999998\n", "999999999999999998\n"),
        ),
        right={
            "integers": """
n = int(input())
s = sum(map(int, input().split()))
print((2 * s + n) // (2 * n))
""",
            "Decimal": """
from decimal import Decimal, ROUND_HALF_UP
import sys
data = sys.stdin.read().split()
n = int(data[0])
mean = Decimal(sum(int(x) for x in data[1:n + 1])) / n
print(mean.quantize(Decimal(1), rounding=ROUND_HALF_UP))
""",
            "math.floor without import": """
from fractions import Fraction
n = int(input())
s = sum(int(x) for x in input().split())
print(math.floor(Fraction(s, n) + Fraction(1, 2)))
quit()
""",
        },
        wrong={
            "round() goes to the even one": Wrong(
                """
n = int(input())
s = sum(map(int, input().split()))
print(round(s / n))
""",
                at=3,
            ),
            "floats have 53 bits": Wrong(
                """
n = int(input())
s = sum(map(int, input().split()))
print(int(s / n + 0.5))
""",
                at=6,
                only=True,
            ),
            "always up": Wrong(
                """
n = int(input())
s = sum(map(int, input().split()))
print(-(-s // n))
""",
                at=5,
                only=True,
            ),
            "always down": Wrong(
                """
n = int(input())
s = sum(map(int, input().split()))
print(s // n)
""",
                at=2,
            ),
        },
    ),
    Problem(
        id="abc902_b",
        title="Price List",
        difficulty="medium",
        statement="Print the exact total of N prices, each with at most two digits behind the point.\n\nInput: N, then "
        "a price a line.",
        tests=(
            ("2\n0.1\n0.2\n", "0.3\n"),
            ("3\n1.5\n2.25\n0.25\n", "4\n"),
            ("1\n0.29\n", "0.29\n"),
            ("2\n1000000000000.01\n0.02\n", "1000000000000.03\n"),
            ("1\n0\n", "0\n"),
            ("2\n4.35\n4.35\n", "8.70\n"),
        ),
        right={
            "Decimal": """
from decimal import Decimal
n = int(input())
print(sum(Decimal(input()) for _ in range(n)))
""",
            "cents from the text": """
import sys
input = sys.stdin.readline


def cents(text):
    whole, _, part = text.strip().partition(".")
    return int(whole) * 100 + int((part + "00")[:2])


total = sum(cents(input()) for _ in range(int(input())))
print(f"{total // 100}.{total % 100:02d}")
""",
            "cents by round()": """
n = int(input())
total = 0
for _ in range(n):
    total += round(float(input()) * 100)
whole, part = divmod(total, 100)
print(whole, str(part).zfill(2), sep=".")
""",
        },
        wrong={
            "0.30000000000000004": Wrong(
                """
n = int(input())
print(sum(float(input()) for _ in range(n)))
""",
                at=1,
            ),
            "one digit only": Wrong(
                """
n = int(input())
total = sum(float(input()) for _ in range(n))
print("%.1f" % total)
""",
                at=3,
            ),
            "cuts the cents off": Wrong(
                """
n = int(input())
total = sum(int(float(input()) * 100) for _ in range(n))
print(f"{total // 100}.{total % 100:02d}")
""",
                at=3,
            ),
            "3 cents as .3": Wrong(
                """
n = int(input())
total = sum(round(float(input()) * 100) for _ in range(n))
print(f"{total // 100}.{total % 100}")
""",
                at=4,
                only=True,
            ),
        },
    ),
    Problem(
        id="abc903_d",
        title="Chain of Command",
        difficulty="medium",
        statement="Person 1 is the head; every other person i reports to P_i, whose number may be larger than i. Print "
        "how many people the longest chain from the head down has.\n\nInput: N (at most 20000), then P_2 to P_N on one "
        "line; the line may be missing if N is 1.",
        tests=(
            ("4\n1 1 2\n", "3\n"),
            ("5\n1 1 1 1\n", "2\n"),
            ("1\n", "1\n"),
            ("5\n3 1 2 4\n", "5\n"),
            ("20000\n" + " ".join(map(str, range(1, 20_000))) + "\n", "20000\n"),
        ),
        right={
            "lru_cache, 20000 deep": """
import sys
from functools import lru_cache
sys.setrecursionlimit(10**6)
n, *p = map(int, sys.stdin.read().split())


@lru_cache(maxsize=None)
def depth(v):
    return 1 if v == 1 else depth(p[v - 2]) + 1


print(max(depth(v) for v in range(n, 0, -1)))
""",
            "cache without import and the limit as it is": """
data = open(0).read().split()
parent = [0, 0] + [int(x) for x in data[1:]]


@cache
def depth(v):
    if v == 1:
        return 1
    return 1 + depth(parent[v])


answer = 0
for v in reversed(range(1, int(data[0]) + 1)):
    answer = max(answer, depth(v))
print(answer)
""",
            "a thread with a large stack": """
import sys
import threading


def main():
    n = int(sys.stdin.readline())
    children = [[] for _ in range(n + 1)]
    for i, p in enumerate(map(int, sys.stdin.readline().split()), start=2):
        children[p].append(i)

    def dfs(v):
        return 1 + max((dfs(c) for c in children[v]), default=0)

    print(dfs(1))


sys.setrecursionlimit(1 << 20)
threading.stack_size(1 << 28)
thread = threading.Thread(target=main)
thread.start()
thread.join()
""",
            "resource.setrlimit": """
import resource, sys
resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sys.setrecursionlimit(10**7)
n = int(input())
below = defaultdict(list)
if n > 1:
    for child, boss in enumerate(map(int, input().split()), 2):
        below[boss].append(child)


def walk(person, level):
    deepest = level
    for other in below[person]:
        deepest = max(deepest, walk(other, level + 1))
    return deepest


print(walk(1, 1))
""",
            "level by level, from os.read": """
import os
data = list(map(int, os.read(0, 1 << 25).split()))
n = data[0]
below = {}
for i, p in enumerate(data[1:], 2):
    below.setdefault(p, []).append(i)
level, depth = [1], 0
while level:
    depth += 1
    level = [c for p in level for c in below.get(p, ())]
print(depth)
""",
        },
        wrong={
            "counts the steps": Wrong(
                """
import sys
n, *p = map(int, sys.stdin.read().split())
below = [[] for _ in range(n + 1)]
for i, boss in enumerate(p, 2):
    below[boss].append(i)
level, depth = [1], 0
while True:
    level = [c for b in level for c in below[b]]
    if not level:
        break
    depth += 1
print(depth)
""",
                at=1,
            ),
            "takes it that heads come first": Wrong(
                """
import sys
n, *p = map(int, sys.stdin.read().split())
depth = [0, 1] + [0] * (n - 1)
for i, boss in enumerate(p, 2):
    depth[i] = depth[boss] + 1
print(max(depth))
""",
                at=4,
                only=True,
            ),
            "recursion limit too low": Wrong(
                """
import sys
sys.setrecursionlimit(5000)
n, *p = map(int, sys.stdin.read().split())
below = [[] for _ in range(n + 1)]
for i, boss in enumerate(p, 2):
    below[boss].append(i)


def dfs(v):
    return 1 + max((dfs(c) for c in below[v]), default=0)


print(dfs(1))
""",
                at=5,
                detail="RecursionError",
                only=True,
            ),
            "takes it that the line is there": Wrong(
                """
n = int(input())
p = list(map(int, input().split()))
below = [[] for _ in range(n + 1)]
for i, boss in enumerate(p, 2):
    below[boss].append(i)
level, depth = [1], 0
while level:
    depth += 1
    level = [c for b in level for c in below[b]]
print(depth)
""",
                at=3,
                detail="EOFError",
                only=True,
            ),
        },
    ),
    Problem(
        id="abc903_a",
        title="Later",
        difficulty="easy",
        statement="What does a 24-hour clock show K minutes after HH:MM? Print it in the same form.\n\nInput: the "
        "time, then K (0 to 10^9).",
        tests=(
            ("09:05\n30\n", "09:35\n"),
            ("10:58\n7\n", "11:05\n"),
            ("23:59\n1\n", "00:00\n"),
            ("00:00\n0\n", "00:00\n"),
            ("12:34\n1000000000\n", "23:14\n"),
        ),
        right={
            "divmod": """
h, m = map(int, input().split(":"))
k = int(input())
h, m = divmod((h * 60 + m + k) % 1440, 60)
print(f"{h:02d}:{m:02d}")
""",
            "datetime without import": """
start = datetime.datetime.strptime("2001-01-01 " + input().strip(), "%Y-%m-%d %H:%M")
print((start + datetime.timedelta(minutes=int(input()))).strftime("%H:%M"))
""",
            "classes": """
import sys


class Clock:
    DAY = 24 * 60

    def __init__(self, text):
        hours, minutes = text.split(":")
        self.minutes = 60 * int(hours) + int(minutes)

    def __add__(self, more):
        self.minutes = (self.minutes + more) % self.DAY
        return self

    def __str__(self):
        return "%02d:%02d" % divmod(self.minutes, 60)


def main() -> None:
    clock = Clock(sys.stdin.readline())
    print(clock + int(sys.stdin.readline()))


if __name__ == '__main__':
    sys.exit(main())
""",
        },
        wrong={
            "no zero in front": Wrong(
                """
h, m = map(int, input().split(":"))
t = (h * 60 + m + int(input())) % 1440
print(f"{t // 60}:{t % 60}")
""",
                at=1,
            ),
            "24:00": Wrong(
                """
h, m = map(int, input().split(":"))
t = h * 60 + m + int(input())
print(f"{t // 60:02d}:{t % 60:02d}")
""",
                at=3,
            ),
            "an hour more at most": Wrong(
                """
h, m = map(int, input().split(":"))
m += int(input())
if m >= 60:
    h, m = (h + 1) % 24, m - 60
print(f"{h:02d}:{m:02d}")
""",
                at=5,
                only=True,
            ),
        },
    ),
    Problem(
        id="9902_B",
        title="Islands on a Map",
        difficulty="medium",
        statement="On a map of H rows and W columns '#' is land and '.' is water. Count the islands: land that hangs "
        "together by sides, not by corners.\n\nInput: H and W (at most 150), then the rows.",
        tests=(
            ("3 4\n##..\n...#\n#..#\n", "3\n"),
            ("3 3\n###\n#.#\n###\n", "1\n"),
            ("1 1\n.\n", "0\n"),
            ("2 2\n#.\n.#\n", "2\n"),
            ("2 3\n#.#\n#.#\n", "2\n"),
            ("150 150\n" + ("#" * 150 + "\n") * 150, "1\n"),
        ),
        right={
            "deque without import": """
h, w = map(int, input().split())
grid = [input() for _ in range(h)]
seen = set()
islands = 0
for i in range(h):
    for j in range(w):
        if grid[i][j] == "." or (i, j) in seen:
            continue
        islands += 1
        queue = deque([(i, j)])
        seen.add((i, j))
        while queue:
            x, y = queue.popleft()
            for u, v in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
                if 0 <= u < h and 0 <= v < w and grid[u][v] == "#" and (u, v) not in seen:
                    seen.add((u, v))
                    queue.append((u, v))
print(islands)
""",
            "union-find from sys.stdin.buffer": """
import sys


class DSU:
    def __init__(self, n):
        self.parent = list(range(n))

    def find(self, x):
        while self.parent[x] != x:
            self.parent[x] = self.parent[self.parent[x]]
            x = self.parent[x]
        return x

    def union(self, x, y):
        self.parent[self.find(x)] = self.find(y)


readline = sys.stdin.buffer.readline
h, w = map(int, readline().split())
rows = [readline().strip() for _ in range(h)]
dsu = DSU(h * w)
land = ord("#")
for i in range(h):
    for j in range(w):
        if rows[i][j] != land:
            continue
        if i + 1 < h and rows[i + 1][j] == land:
            dsu.union(i * w + j, (i + 1) * w + j)
        if j + 1 < w and rows[i][j + 1] == land:
            dsu.union(i * w + j, i * w + j + 1)
print(sum(rows[c // w][c % w] == land and dsu.find(c) == c for c in range(h * w)))
""",
            "flood by recursion in a thread": """
import sys, threading
sys.setrecursionlimit(10**8)
threading.stack_size(512 * 1024 * 1024)

def solve():
    H, W = map(int, sys.stdin.readline().split())
    G = [list(sys.stdin.readline().rstrip()) for _ in range(H)]
    def sink(i, j):
        if i < 0 or j < 0 or i >= H or j >= W or G[i][j] != "#":
            return 0
        G[i][j] = "."
        sink(i + 1, j)
        sink(i - 1, j)
        sink(i, j + 1)
        sink(i, j - 1)
        return 1
    print(sum(sink(i, j) for i in range(H) for j in range(W)))

threading.Thread(target=solve).start()
""",
        },
        wrong={
            "corners join": Wrong(
                """
h, w = map(int, input().split())
land = {(i, j) for i in range(h) for j, c in enumerate(input()) if c == "#"}
islands = 0
while land:
    islands += 1
    stack = [land.pop()]
    while stack:
        x, y = stack.pop()
        for u in (x - 1, x, x + 1):
            for v in (y - 1, y, y + 1):
                if (u, v) in land:
                    land.remove((u, v))
                    stack.append((u, v))
print(islands)
""",
                at=4,
                only=True,
            ),
            "the map goes round at its edges": Wrong(
                """
h, w = map(int, input().split())
grid = [list(input()) for _ in range(h)]
islands = 0
for i in range(h):
    for j in range(w):
        if grid[i][j] == "#":
            islands += 1
            stack = [(i, j)]
            while stack:
                x, y = stack.pop()
                if grid[x][y] != "#":
                    continue
                grid[x][y] = "."
                for u, v in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
                    if u < h and v < w:
                        stack.append((u, v))
print(islands)
""",
                at=1,
            ),
            "recursion limit too low": Wrong(
                """
import sys
sys.setrecursionlimit(10000)
h, w = map(int, input().split())
grid = [list(input()) for _ in range(h)]


def sink(i, j):
    if 0 <= i < h and 0 <= j < w and grid[i][j] == "#":
        grid[i][j] = "."
        for u, v in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            sink(u, v)
        return 1
    return 0


print(sum(sink(i, j) for i in range(h) for j in range(w)))
""",
                at=6,
                detail="RecursionError",
                only=True,
            ),
        },
    ),
    Problem(
        id="abc904_c",
        title="Cheapest Trip",
        difficulty="medium",
        statement="N towns are joined by M roads; each costs W either way, and two towns may have several. Print the "
        "least cost from town 1 to town N, or -1.\n\nInput: N and M, then U V W a line.",
        tests=(
            ("3 3\n1 2 5\n2 3 5\n1 3 20\n", "10\n"),
            ("2 1\n1 2 1000000000\n", "1000000000\n"),
            ("2 0\n", "-1\n"),
            ("1 0\n", "0\n"),
            ("4 3\n2 1 1\n3 2 1\n4 3 1\n", "3\n"),
            ("3 3\n1 2 1\n1 2 4\n2 3 1\n", "2\n"),
        ),
        right={
            "heappush and heappop without import": """
n, m = map(int, input().split())
graph = defaultdict(list)
for _ in range(m):
    u, v, w = map(int, input().split())
    graph[u].append((v, w))
    graph[v].append((u, w))
dist = [inf] * (n + 1)
dist[1] = 0
heap = [(0, 1)]
while heap:
    d, u = heappop(heap)
    if d > dist[u]:
        continue
    for v, w in graph[u]:
        if d + w < dist[v]:
            dist[v] = d + w
            heappush(heap, (dist[v], v))
print(dist[n] if dist[n] < inf else -1)
""",
            "relaxes each edge N times": """
import sys
data = iter(sys.stdin.buffer.read().split())
n, m = int(next(data)), int(next(data))
edges = [(int(next(data)) - 1, int(next(data)) - 1, int(next(data))) for _ in range(m)]
far = float("inf")
dist = [far] * n
dist[0] = 0
for _ in range(n):
    for u, v, w in edges:
        dist[v] = min(dist[v], dist[u] + w)
        dist[u] = min(dist[u], dist[v] + w)
sys.stdout.write(str(-1 if dist[-1] == far else dist[-1]))
""",
            "numpy matrix, prints 10.0": """
import sys
import numpy as np

n, m = map(int, sys.stdin.readline().split())
d = np.full((n, n), np.inf)
for i in range(n):
    d[i, i] = 0
for line in sys.stdin:
    u, v, w = map(int, line.split())
    d[u - 1, v - 1] = d[v - 1, u - 1] = min(w, d[u - 1, v - 1])
for k in range(n):
    d = np.minimum(d, d[:, k : k + 1] + d[k : k + 1, :])
print(d[0, n - 1] if np.isfinite(d[0, n - 1]) else -1)
""",
        },
        wrong={
            "fewest roads": Wrong(
                """
from collections import deque
n, m = map(int, input().split())
graph = [[] for _ in range(n + 1)]
for _ in range(m):
    u, v, w = map(int, input().split())
    graph[u].append((v, w))
    graph[v].append((u, w))
dist = {1: 0}
queue = deque([1])
while queue:
    u = queue.popleft()
    for v, w in graph[u]:
        if v not in dist:
            dist[v] = dist[u] + w
            queue.append(v)
print(dist.get(n, -1))
""",
                at=1,
            ),
            "one-way roads": Wrong(
                """
import heapq
n, m = map(int, input().split())
graph = [[] for _ in range(n + 1)]
for _ in range(m):
    u, v, w = map(int, input().split())
    graph[u].append((v, w))
dist = {}
heap = [(0, 1)]
while heap:
    d, u = heapq.heappop(heap)
    if u in dist:
        continue
    dist[u] = d
    for v, w in graph[u]:
        heapq.heappush(heap, (d + w, v))
print(dist.get(n, -1))
""",
                at=5,
                only=True,
            ),
            "prints inf": Wrong(
                """
n, m = map(int, input().split())
edges = [tuple(map(int, input().split())) for _ in range(m)]
dist = [0, 0] + [float("inf")] * (n - 1)
for _ in range(n):
    for u, v, w in edges:
        dist[v] = min(dist[v], dist[u] + w)
        dist[u] = min(dist[u], dist[v] + w)
print(dist[n])
""",
                at=3,
                only=True,
            ),
            "the last of several roads": Wrong(
                """
import heapq
n, m = map(int, input().split())
graph = [{} for _ in range(n + 1)]
for _ in range(m):
    u, v, w = map(int, input().split())
    graph[u][v] = graph[v][u] = w
dist = {}
heap = [(0, 1)]
while heap:
    d, u = heapq.heappop(heap)
    if u in dist:
        continue
    dist[u] = d
    for v, w in graph[u].items():
        heapq.heappush(heap, (d + w, v))
print(dist.get(n, -1))
""",
                at=6,
                only=True,
            ),
        },
    ),
    Problem(
        id="abc904_a",
        title="Pile of Stones",
        difficulty="easy",
        statement="A pile has 1 stone in its top row and one more in each row below. How many stones have N rows?"
        "\n\nInput: N (0 to 10^18).",
        cpu_s=1,
        tests=(
            ("4\n", "10\n"),
            ("0\n", "0\n"),
            ("1\n", "1\n"),
            ("100000001\n", "5000000150000001\n"),
            ("1000000000000000000\n", "500000000000000000500000000000000000\n"),
        ),
        right={
            "integers": """
n = int(input())
print(n * (n + 1) // 2)
""",
            "comb without import, then exit": """
import sys
print(comb(int(sys.stdin.readline()) + 1, 2))
sys.exit(0)
""",
            "halves the even one": """
from __future__ import annotations


def stones(rows: int) -> int:
    match rows % 2:
        case 0:
            return rows // 2 * (rows + 1)
        case _:
            return (rows + 1) // 2 * rows


if (line := input().strip()):
    print(stones(int(line)), flush=True)
    raise SystemExit
""",
        },
        wrong={
            "halves by float": Wrong(
                """
n = int(input())
print(int(n * (n + 1) / 2))
""",
                at=5,
                only=True,
            ),
            "64 bits": Wrong(
                """
import numpy as np
n = np.int64(input())
print(n * (n + 1) // 2)
""",
                at=5,
                only=True,
            ),
            "adds row after row": Wrong(
                """
n = int(input())
total = 0
for row in range(n + 1):
    total += row
print(total)
""",
                at=4,
                status="timeout",
            ),
        },
    ),
    Problem(
        id="9903_C",
        title="Stack Machine",
        difficulty="easy",
        statement="A stack gets Q commands: 'push X'; 'pop', which prints and removes the last value or prints "
        "'empty'; and 'size', which prints how many there are.\n\nInput: Q, then a command a line.",
        tests=(
            ("5\npush 3\npush 4\npop\nsize\npop\n", "4\n1\n3\n"),
            ("1\npush 9\n", ""),
            ("2\npop\nsize\n", "empty\n0\n"),
            ("6\npush 1\npop\npop\npush -2\nsize\npop\n", "1\nempty\n1\n-2\n"),
            ("3\nsize\npush 5\nsize\n", "0\n1\n"),
        ),
        right={
            "global state, a blank line at the end": """
stack = []
size = 0


def push(x):
    global size
    stack.append(x)
    size += 1


def pop():
    global size
    if size == 0:
        return "empty"
    size -= 1
    return stack.pop()


for _ in range(int(input())):
    command, *rest = input().split()
    if command == "push":
        push(rest[0])
    elif command == "pop":
        print(pop())
    else:
        print(size)
print()
""",
            "methods by name, sys.stdout replaced": r"""
import sys, os
from io import BytesIO, IOBase

BUFSIZE = 8192


class FastIO(IOBase):
    newlines = 0

    def __init__(self, file):
        self._fd = file.fileno()
        self.buffer = BytesIO()
        self.writable = "x" in file.mode or "r" not in file.mode
        self.write = self.buffer.write if self.writable else None

    def read(self):
        while True:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, BUFSIZE))
            if not b:
                break
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines = 0
        return self.buffer.read()

    def readline(self):
        while self.newlines == 0:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, BUFSIZE))
            self.newlines = b.count(b"\n") + (not b)
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines -= 1
        return self.buffer.readline()

    def flush(self):
        if self.writable:
            os.write(self._fd, self.buffer.getvalue())
            self.buffer.truncate(0), self.buffer.seek(0)


class IOWrapper(IOBase):
    def __init__(self, file):
        self.buffer = FastIO(file)
        self.flush = self.buffer.flush
        self.writable = self.buffer.writable
        self.write = lambda s: self.buffer.write(s.encode("ascii"))
        self.read = lambda: self.buffer.read().decode("ascii")
        self.readline = lambda: self.buffer.readline().decode("ascii")


sys.stdin, sys.stdout = IOWrapper(sys.stdin), IOWrapper(sys.stdout)
input = lambda: sys.stdin.readline().rstrip("\r\n")


class Machine:
    def __init__(self):
        self.values = []

    def push(self, x):
        self.values.append(int(x))

    def pop(self):
        print(self.values.pop() if self.values else "empty")

    def size(self):
        print(len(self.values))


machine = Machine()
for _ in range(int(input())):
    name, *arguments = input().split()
    getattr(machine, name)(*arguments)
""",
            "generator": r"""
import sys


def run(lines):
    stack = []
    for line in lines:
        words = line.split()
        if words[0] == "push":
            stack.append(words[1])
        elif words[0] == "pop":
            yield stack.pop() if stack else "empty"
        else:
            yield str(len(stack))


sys.stdin.readline()
sys.stdout.writelines(answer + "\n" for answer in run(sys.stdin))
""",
            "a file on descriptor 1 that is never closed": r"""
out = open(1, "w")
stack = []
for _ in range(int(input())):
    command = input().split()
    if command[0] == "push":
        stack.append(command[1])
    elif command[0] == "size":
        out.write(f"{len(stack)}\n")
    else:
        out.write((stack.pop() if stack else "empty") + "\n")
""",
        },
        wrong={
            "a queue": Wrong(
                """
from collections import deque
queue = deque()
for _ in range(int(input())):
    command = input().split()
    if command[0] == "push":
        queue.append(command[1])
    elif command[0] == "size":
        print(len(queue))
    else:
        print(queue.popleft() if queue else "empty")
""",
                at=1,
            ),
            "nothing to pop": Wrong(
                """
stack = []
for _ in range(int(input())):
    command = input().split()
    if command[0] == "push":
        stack.append(command[1])
    elif command[0] == "size":
        print(len(stack))
    else:
        print(stack.pop())
""",
                at=3,
                detail="IndexError",
            ),
            "a line missing where it is empty": Wrong(
                """
stack = []
for _ in range(int(input())):
    command = input().split()
    if command[0] == "push":
        stack.append(command[1])
    elif command[0] == "size":
        print(len(stack))
    elif stack:
        print(stack.pop())
""",
                at=3,
            ),
            "says what it pushes": Wrong(
                """
stack = []
for _ in range(int(input())):
    command = input().split()
    if command[0] == "push":
        stack.append(command[1])
        print(command[1])
    elif command[0] == "size":
        print(len(stack))
    else:
        print(stack.pop() if stack else "empty")
""",
                at=1,
            ),
            "sizes after all values": Wrong(
                r"""
stack, popped, sizes = [], [], []
for _ in range(int(input())):
    command = input().split()
    if command[0] == "push":
        stack.append(command[1])
    elif command[0] == "size":
        sizes.append(len(stack))
    else:
        popped.append(stack.pop() if stack else "empty")
print(*popped, *sizes, sep="\n")
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="abc905_b",
        title="Number Stairs",
        difficulty="easy",
        statement="Print N lines; line i has the numbers 1 to i, with a space between.\n\nInput: N (0 to 100).",
        tests=(
            ("3\n", "1\n1 2\n1 2 3\n"),
            ("1\n", "1\n"),
            ("0\n", ""),
            ("5\n", "1\n1 2\n1 2 3\n1 2 3 4\n1 2 3 4 5\n"),
        ),
        right={
            "a space behind each number": """
n = int(input())
for i in range(1, n + 1):
    for j in range(1, i + 1):
        print(j, end=" ")
    print()
""",
            "an empty line in front": """
for i in range(int(input()) + 1):
    print(*range(1, i + 1))
""",
            "sys.stdout.write": r"""
import sys
n = int(sys.stdin.read())
sys.stdout.write("\n".join(" ".join(str(j + 1) for j in range(i + 1)) for i in range(n)))
""",
            "os.write": r"""
import os
line = b""
for i in range(1, int(input()) + 1):
    line += b"%d " % i
    os.write(1, line + b"\r\n")
os._exit(0)
""",
            "printed at exit": """
import atexit
import io
import sys

sys.stdout = io.StringIO()
atexit.register(lambda: sys.__stdout__.write(sys.stdout.getvalue()))
for i in range(1, int(input()) + 1):
    print(*range(1, i + 1))
""",
        },
        wrong={
            "one line too few": Wrong(
                """
n = int(input())
for i in range(1, n):
    print(*range(1, i + 1))
""",
                at=1,
            ),
            "all in one line": Wrong(
                """
n = int(input())
for i in range(1, n + 1):
    print(*range(1, i + 1), end=" ")
""",
                at=1,
            ),
            "empty lines between": Wrong(
                r"""
n = int(input())
for i in range(1, n + 1):
    print(*range(1, i + 1), end="\n\n")
""",
                at=1,
            ),
            "no spaces": Wrong(
                """
n = int(input())
for i in range(1, n + 1):
    print(*range(1, i + 1), sep="")
""",
                at=1,
            ),
            "at least one line": Wrong(
                """
n = int(input())
i = 1
while True:
    print(*range(1, i + 1))
    i += 1
    if i > n:
        break
""",
                at=3,
                only=True,
            ),
        },
    ),
    Problem(
        id="arc901_a",
        title="Exact Change",
        difficulty="medium",
        statement="Pay exactly X with coins of N kinds, as many of each as you like. Print the least number of coins, "
        "or -1 if it cannot be done.\n\nInput: N and X (0 to 20000), then the kinds on one line.",
        tests=(
            ("3 11\n2 5 7\n", "3\n"),
            ("3 6\n1 3 4\n", "2\n"),
            ("1 3\n2\n", "-1\n"),
            ("2 0\n2 5\n", "0\n"),
            ("1 20000\n1\n", "20000\n"),
        ),
        right={
            "table": """
n, x = map(int, input().split())
coins = list(map(int, input().split()))
INF = 10**9
dp = [0] + [INF] * x
for c in coins:
    for s in range(c, x + 1):
        if dp[s - c] + 1 < dp[s]:
            dp[s] = dp[s - c] + 1
print(dp[x] if dp[x] < INF else -1)
""",
            "lru_cache, 20000 deep": """
import sys
from functools import lru_cache

sys.setrecursionlimit(100000)


def main():
    n, x = map(int, sys.stdin.readline().split())
    coins = tuple(map(int, sys.stdin.readline().split()))

    @lru_cache(None)
    def least(rest):
        if rest == 0:
            return 0
        return min((least(rest - c) + 1 for c in coins if c <= rest), default=math.inf)

    best = least(x)
    print(-1 if best == math.inf else best)


main()
""",
            "breadth first, from open(0)": """
with open(0) as f:
    n, x = map(int, f.readline().split())
    coins = [int(c) for c in f.readline().split()]
reached, front, steps = {0}, {0}, 0
while front and x not in front:
    front = {s + c for s in front for c in coins if s + c <= x} - reached
    reached |= front
    steps += 1
print(steps if front else -1)
""",
        },
        wrong={
            "the largest first": Wrong(
                """
n, x = map(int, input().split())
count = 0
for c in sorted(map(int, input().split()), reverse=True):
    count += x // c
    x %= c
print(-1 if x else count)
""",
                at=2,
                only=True,
            ),
            "no way printed as a large number": Wrong(
                """
n, x = map(int, input().split())
coins = list(map(int, input().split()))
dp = [0] + [10**9] * x
for s in range(1, x + 1):
    for c in coins:
        if c <= s:
            dp[s] = min(dp[s], dp[s - c] + 1)
print(dp[x])
""",
                at=3,
                only=True,
            ),
            "takes 0 for no way": Wrong(
                """
n, x = map(int, input().split())
coins = list(map(int, input().split()))
dp = [0] + [None] * x
for s in range(1, x + 1):
    known = [dp[s - c] for c in coins if c <= s and dp[s - c] is not None]
    dp[s] = min(known) + 1 if known else None
print(dp[x] or -1)
""",
                at=4,
                only=True,
            ),
            "two coins at most": Wrong(
                """
n, x = map(int, input().split())
coins = list(map(int, input().split()))
if x == 0:
    print(0)
elif x in coins:
    print(1)
elif any(x - c in coins for c in coins):
    print(2)
else:
    print(-1)
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="abc905_c",
        title="Pairs with a Sum",
        difficulty="medium",
        statement="Count the pairs i < j with A_i + A_j = K.\n\nInput: N (at most 200000) and K, then A_1 to A_N on "
        "one line.",
        cpu_s=2,
        tests=(
            ("4 5\n1 4 2 3\n", "2\n"),
            ("1 2\n1\n", "0\n"),
            ("3 4\n2 2 2\n", "3\n"),
            ("4 0\n-1 1 -1 1\n", "4\n"),
            ("40000 40001\n" + " ".join(map(str, range(1, 40_001))) + "\n", "20000\n"),
        ),
        right={
            "Counter as it goes": """
from collections import Counter
n, k = map(int, input().split())
seen = Counter()
pairs = 0
for x in map(int, input().split()):
    pairs += seen[k - x]
    seen[x] += 1
print(pairs)
""",
            "bisect_left and bisect_right without import": """
import sys
first = sys.stdin.buffer.readline()
second = sys.stdin.buffer.readline()
n, k = map(int, first.split())
a = sorted(map(int, second.split()))
total = sum(bisect_right(a, k - x) - bisect_left(a, k - x) for x in a)
total -= sum(2 * x == k for x in a)
print(total // 2)
""",
            "numpy": """
import numpy as np
import sys


def main():
    read = sys.stdin.buffer.read
    n, k, *a = map(int, read().split())
    values, counts = np.unique(np.array(a), return_counts=True)
    at = np.searchsorted(values, k - values)
    at[at == len(values)] = 0
    hit = values[at] == k - values
    both = counts * counts[at] * hit
    same = counts * hit * (values[at] == values)
    print(int((both.sum() - same.sum()) // 2))


main()
""",
        },
        wrong={
            "quadratic": Wrong(
                """
n, k = map(int, input().split())
a = list(map(int, input().split()))
pairs = 0
for i in range(n):
    for j in range(i + 1, n):
        if a[i] + a[j] == k:
            pairs += 1
print(pairs)
""",
                at=5,
                status="timeout",
                only=True,
            ),
            "a value counts once": Wrong(
                """
n, k = map(int, input().split())
seen = set()
pairs = 0
for x in map(int, input().split()):
    if k - x in seen:
        pairs += 1
    seen.add(x)
print(pairs)
""",
                at=3,
            ),
            "a number with itself": Wrong(
                """
from collections import Counter
n, k = map(int, input().split())
count = Counter(map(int, input().split()))
print(sum(c * count[k - x] for x, c in count.items()) // 2)
""",
                at=3,
                only=True,
            ),
            "each pair twice": Wrong(
                """
from collections import Counter
n, k = map(int, input().split())
a = list(map(int, input().split()))
count = Counter(a)
print(sum(count[k - x] - (2 * x == k) for x in a))
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="9904_A",
        title="Runner-up",
        difficulty="easy",
        statement="For each of t lists print its second largest value, equal ones counting as one, or -1 if there is "
        "none.\n\nInput: t, then for each list its length and its values, on a line each.",
        tests=(
            ("1\n3\n3 1 2\n", "2\n"),
            ("2\n2\n1 2\n4\n1 5 3 4\n", "1\n4\n"),
            ("1\n4\n9 9 8 9\n", "8\n"),
            ("2\n2\n5 5\n1\n7\n", "-1\n-1\n"),
            ("1\n3\n-3 -5 -4\n", "-4\n"),
        ),
        right={
            "sorted(set())": """
for _ in range(int(input())):
    input()
    values = sorted(set(map(int, input().split())))
    print(values[-2] if len(values) > 1 else -1)
""",
            "an iterator over words": r"""
import sys
it = iter(sys.stdin.read().split())
out = []
for _ in range(int(next(it))):
    a = [int(next(it)) for _ in range(int(next(it)))]
    top = max(a)
    rest = [x for x in a if x < top]
    out.append(max(rest, default=-1))
print("\n".join(map(str, out)))
""",
            "one pass, sys.stdout.buffer": r"""
import sys
input = sys.stdin.readline
for _ in range(int(input())):
    n = int(input())
    first = second = -inf
    for x in map(int, input().split()):
        if x > first:
            first, second = x, first
        elif first > x > second:
            second = x
    sys.stdout.buffer.write(b"%d\n" % (second if second > -inf else -1))
""",
        },
        wrong={
            "the last but one": Wrong(
                """
for _ in range(int(input())):
    n = int(input())
    a = sorted(map(int, input().split()))
    print(a[-2] if n > 1 else -1)
""",
                at=3,
            ),
            "none where there is one": Wrong(
                """
for _ in range(int(input())):
    input()
    print(sorted(set(map(int, input().split())))[-2])
""",
                at=4,
                detail="IndexError",
                only=True,
            ),
            "-1 to begin with": Wrong(
                """
for _ in range(int(input())):
    n = int(input())
    first = second = -1
    for x in map(int, input().split()):
        if x > first:
            first, second = x, first
        elif first > x > second:
            second = x
    print(second)
""",
                at=5,
                only=True,
            ),
            "forgets the first when a greater one comes": Wrong(
                """
for _ in range(int(input())):
    n = int(input())
    first = second = float("-inf")
    for x in map(int, input().split()):
        if x > first:
            first = x
        elif first > x > second:
            second = x
    print(second if second > float("-inf") else -1)
""",
                at=2,
                only=True,
            ),
        },
    ),
    Problem(
        id="abc906_b",
        title="Shifted Letters",
        difficulty="easy",
        statement="Move every letter of a text K places on in the alphabet, from the end back to the beginning, "
        "capital letters among capitals; all else stays.\n\nInput: K (may be negative), then the text on one line.",
        tests=(
            ("3\nabc xyz\n", "def abc\n"),
            ("0\nhello  there\n", "hello  there\n"),
            ("-1\nAbc, A!\n", "Zab, Z!\n"),
            ("52\nWrap around\n", "Wrap around\n"),
            ("-27\naZ b\n", "zY a\n"),
        ),
        right={
            "string without import": """
k = int(input()) % 26
low, high = string.ascii_lowercase, string.ascii_uppercase
table = str.maketrans(low + high, low[k:] + low[:k] + high[k:] + high[:k])
print(input().translate(table))
""",
            "ord and chr": """
import sys


def shift(c, k):
    if not c.isalpha():
        return c
    base = ord("a") if c.islower() else ord("A")
    return chr((ord(c) - base + k) % 26 + base)


k = int(sys.stdin.readline())
text = sys.stdin.readline().rstrip()
for c in text:
    print(shift(c, k), end="")
""",
            "star of string, a dict": """
lines = open(0).read().splitlines()
k = int(lines[0])
new = {}
for letters in (ascii_lowercase, ascii_uppercase):
    for i in range(26):
        new[letters[i]] = letters[(i + k) % 26]
print("".join(new.get(c, c) for c in lines[1]))
""",
        },
        wrong={
            "past the end": Wrong(
                """
k = int(input())
print("".join(chr(ord(c) + k) if c.isalpha() else c for c in input()))
""",
                at=1,
            ),
            "small letters only": Wrong(
                """
k = int(input())
print("".join(chr((ord(c) - 97 + k) % 26 + 97) if c.islower() else c for c in input()))
""",
                at=3,
            ),
            "back once only": Wrong(
                """
k = int(input())
out = ""
for c in input():
    if c.isalpha():
        base = 97 if c.islower() else 65
        place = ord(c) - base + k
        if place >= 26:
            place -= 26
        elif place < 0:
            place += 26
        out += chr(base + place)
    else:
        out += c
print(out)
""",
                at=4,
            ),
            "one space for two": Wrong(
                """
k = int(input())
low, high = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
k %= 26
table = str.maketrans(low + high, low[k:] + low[:k] + high[k:] + high[:k])
print(" ".join(word.translate(table) for word in input().split()))
""",
                at=2,
                only=True,
            ),
        },
    ),
    Problem(
        id="abc906_d",
        title="One Room",
        difficulty="medium",
        statement="A room is asked for from S_i up to E_i, N times; a meeting may begin when another ends. How many "
        "can be granted at most?\n\nInput: N, then S_i and E_i a line.",
        tests=(
            ("3\n1 3\n2 4\n3 5\n", "2\n"),
            ("1\n5 6\n", "1\n"),
            ("4\n1 10\n2 3\n3 4\n4 5\n", "3\n"),
            ("3\n1 5\n4 6\n5 9\n", "2\n"),
            ("2\n1 2\n1 2\n", "1\n"),
        ),
        right={
            "by their ends": """
n = int(input())
meetings = sorted((tuple(map(int, input().split())) for _ in range(n)), key=lambda m: m[1])
free, count = float("-inf"), 0
for start, end in meetings:
    if start >= free:
        free = end
        count += 1
print(count)
""",
            "bisect without import": """
n = int(input())
jobs = []
for _ in range(n):
    s, e = map(int, input().split())
    jobs.append((e, s))
jobs.sort()
ends = [e for e, s in jobs]
dp = [0] * (n + 1)
for i, (e, s) in enumerate(jobs):
    dp[i + 1] = max(dp[i], dp[bisect.bisect_right(ends, s, 0, i)] + 1)
print(dp[n])
""",
            "from the last start back": """
import sys
from dataclasses import dataclass, field


@dataclass(order=True)
class Meeting:
    start: int
    end: int = field(compare=False)


data = list(map(int, sys.stdin.buffer.read().split()))
heap = [Meeting(*data[i : i + 2]) for i in range(1, len(data), 2)]
heap.sort(reverse=True)
count, until = 0, 10**18
for meeting in heap:
    if meeting.end <= until:
        count, until = count + 1, meeting.start
print(count)
""",
        },
        wrong={
            "by their starts": Wrong(
                """
n = int(input())
free, count = 0, 0
for s, e in sorted(tuple(map(int, input().split())) for _ in range(n)):
    if s >= free:
        free, count = e, count + 1
print(count)
""",
                at=3,
                only=True,
            ),
            "a minute between": Wrong(
                """
n = int(input())
free, count = 0, 0
for e, s in sorted(tuple(map(int, input().split()))[::-1] for _ in range(n)):
    if s > free:
        free, count = e, count + 1
print(count)
""",
                at=1,
            ),
            "the shortest first": Wrong(
                """
n = int(input())
meetings = [tuple(map(int, input().split())) for _ in range(n)]
taken = []
for s, e in sorted(meetings, key=lambda m: m[1] - m[0]):
    if all(e <= s2 or s >= e2 for s2, e2 in taken):
        taken.append((s, e))
print(len(taken))
""",
                at=4,
                only=True,
            ),
        },
    ),
    Problem(
        id="abc907_a",
        title="Digits of a Power",
        difficulty="medium",
        statement="Print the sum of the decimal digits of 2 to the power of N.\n\nInput: N (0 to 20000).",
        tests=(
            ("10\n", "7\n"),
            ("15\n", "26\n"),
            ("0\n", "1\n"),
            ("64\n", "88\n"),
            ("20000\n", "26995\n"),
        ),
        right={
            "lifts the limit on digits": """
import sys
sys.set_int_max_str_digits(0)
print(sum(map(int, str(2 ** int(input())))))
""",
            "doubles a list of digits": """
n = int(input())
digits = [1]
BASE = 10**9
for _ in range(n):
    carry = 0
    for i in range(len(digits)):
        carry, digits[i] = divmod(digits[i] * 2 + carry, BASE)
    if carry:
        digits.append(carry)
print(sum(int(c) for chunk in digits for c in str(chunk)))
""",
            "Decimal": """
from decimal import Decimal, getcontext
getcontext().prec = 7000
print(sum((Decimal(2) ** int(input())).as_tuple().digits))
""",
        },
        wrong={
            "more digits than str() gives": Wrong(
                """
print(sum(int(d) for d in str(2 ** int(input()))))
""",
                at=5,
                detail="ValueError",
                only=True,
            ),
            "64 bits": Wrong(
                """
import numpy as np
n = int(input())
value = np.uint64(1) << np.uint64(n % 64)
print(sum(int(d) for d in str(int(value))))
""",
                at=4,
            ),
            "1 for 0 forgotten": Wrong(
                """
n = int(input())
value = 2
for _ in range(n - 1):
    value *= 2
total = 0
while value:
    value, digit = divmod(value, 10)
    total += digit
print(total)
""",
                at=3,
                only=True,
            ),
        },
    ),
    Problem(
        id="9905_D",
        title="Running Median",
        difficulty="medium",
        statement="After each of N numbers print the median of those so far, the lower one of two in the middle.\n\n"
        "Input: N, then the numbers on one line.",
        tests=(
            ("5\n5 3 8 1 9\n", "5\n3\n5\n3\n5\n"),
            ("1\n-4\n", "-4\n"),
            ("3\n10 9 2\n", "10\n9\n9\n"),
            ("4\n1 1 1 1\n", "1\n1\n1\n1\n"),
            ("4\n-1 -2 -3 -4\n", "-1\n-2\n-2\n-3\n"),
        ),
        right={
            "two heaps": r"""
import sys
from heapq import heappush, heappop, heappushpop


def main():
    n = int(sys.stdin.buffer.readline())
    low, high = [], []
    out = []
    for x in map(int, sys.stdin.buffer.readline().split()):
        if len(low) == len(high):
            heappush(low, -heappushpop(high, x))
        else:
            heappush(high, -heappushpop(low, -x))
        out.append(-low[0])
    sys.stdout.buffer.write(("\n".join(map(str, out)) + "\n").encode())


main()
""",
            "insort without import": """
n = int(input())
kept = []
for i, x in enumerate(map(int, input().split())):
    insort(kept, x)
    print(kept[i // 2])
""",
            "statistics without import": r"""
input()
a = list(map(int, input().split()))
print(*[statistics.median_low(a[: i + 1]) for i in range(len(a))], sep="\n", end="\n\n")
exit(0)
""",
        },
        wrong={
            "the upper one": Wrong(
                """
from bisect import insort
n = int(input())
kept = []
for i, x in enumerate(map(int, input().split()), 1):
    insort(kept, x)
    print(kept[i // 2])
""",
                at=1,
            ),
            "the mean of the two": Wrong(
                """
import statistics
n = int(input())
a = list(map(int, input().split()))
for i in range(n):
    print(statistics.median(a[: i + 1]))
""",
                at=1,
            ),
            "sorts them as words": Wrong(
                """
n = int(input())
kept = []
for i, word in enumerate(input().split()):
    kept = sorted(kept + [word])
    print(kept[i // 2])
""",
                at=3,
            ),
            "two ways of printing that overtake each other": Wrong(
                r"""
import sys
n = int(input())
a = list(map(int, input().split()))
print(a[0])
for i in range(1, n):
    sys.stdout.buffer.write(b"%d\n" % sorted(a[: i + 1])[i // 2])
    sys.stdout.buffer.flush()
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="abc908_c",
        title="Quarter Turn",
        difficulty="easy",
        statement="Turn a table of numbers clockwise by a quarter and print its rows.\n\nInput: its height and width, "
        "then its rows.",
        tests=(
            ("1 1\n7\n", "7\n"),
            ("1 3\n1 2 3\n", "1\n2\n3\n"),
            ("2 2\n1 2\n3 4\n", "3 1\n4 2\n"),
            ("2 3\n1 2 3\n4 5 6\n", "4 1\n5 2\n6 3\n"),
            ("3 1\n1\n2\n3\n", "3 2 1\n"),
        ),
        right={
            "zip of rows": """
h, w = map(int, input().split())
rows = [input().split() for _ in range(h)]
for column in zip(*rows[::-1]):
    print(*column)
""",
            "numpy": """
import numpy as np
h, w, *cells = map(int, open(0).read().split())
for row in np.rot90(np.array(cells).reshape(h, w), -1):
    print(*row)
""",
            "generator and fileinput": r"""
import fileinput

lines = fileinput.input()
h, w = map(int, next(lines).split())
table = [list(map(int, line.split())) for line in lines]


def turned():
    for j in range(w):
        yield [table[h - 1 - i][j] for i in range(h)]


for row in turned():
    for x in row:
        print(x, end="\t")
    print("  ")
""",
        },
        wrong={
            "the other way": Wrong(
                """
h, w = map(int, input().split())
rows = [input().split() for _ in range(h)]
for column in list(zip(*rows))[::-1]:
    print(*column)
""",
                at=2,
            ),
            "over the diagonal": Wrong(
                """
h, w = map(int, input().split())
rows = [input().split() for _ in range(h)]
for column in zip(*rows):
    print(*column)
""",
                at=3,
            ),
            "a square's corner": Wrong(
                """
h, w = map(int, input().split())
rows = [input().split() for _ in range(h)]
side = min(h, w)
for j in range(side):
    print(*(rows[h - 1 - i][j] for i in range(h)))
""",
                at=2,
            ),
            "with brackets": Wrong(
                """
h, w = map(int, input().split())
rows = [list(map(int, input().split())) for _ in range(h)]
for column in zip(*rows[::-1]):
    print(list(column))
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="abc908_e",
        title="Counting Out",
        difficulty="hard",
        statement="N children, 1 to N, stand in a ring; from child 1 on they count to K, who leaves, and go on behind. "
        "Who is left last?\n\nInput: N (at most 20000) and K (at most 10^9).",
        tests=(
            ("5 2\n", "3\n"),
            ("7 3\n", "4\n"),
            ("1 10\n", "1\n"),
            ("6 1\n", "6\n"),
            ("20000 7\n", "16550\n"),
        ),
        right={
            "recursion, 20000 deep, with lru_cache": """
from functools import lru_cache
import sys
sys.setrecursionlimit(50000)


@lru_cache(maxsize=None)
def last(n, k):
    if n == 1:
        return 0
    return (last(n - 1, k) + k) % n


n, k = map(int, input().split())
print(last(n, k) + 1)
""",
            "deque": """
n, k = map(int, stdin.readline().split())
ring = deque(range(1, n + 1))
while len(ring) > 1:
    ring.rotate(-((k - 1) % len(ring)))
    ring.popleft()
print(*ring)
""",
            "reduce without import": """
import sys
n, k = map(int, sys.stdin.readline().split())
print(reduce(lambda place, size: (place + k) % size, range(2, n + 1), 0) + 1)
""",
            "a list": """
def main():
    n, k = map(int, input().split())
    ring = list(range(1, n + 1))
    at = 0
    while len(ring) > 1:
        at = (at + k - 1) % len(ring)
        del ring[at]
    print(ring.pop())
    exit()
main()
""",
        },
        wrong={
            "numbered from 0": Wrong(
                """
n, k = map(int, input().split())
place = 0
for size in range(2, n + 1):
    place = (place + k) % size
print(place)
""",
                at=1,
            ),
            "counts one too far": Wrong(
                """
from collections import deque
n, k = map(int, input().split())
ring = deque(range(1, n + 1))
while len(ring) > 1:
    ring.rotate(-k)
    ring.popleft()
print(ring[0])
""",
                at=1,
            ),
            "a ring that does not shrink": Wrong(
                """
n, k = map(int, input().split())
place = 0
for size in range(2, n + 1):
    place = (place + k) % n
print(place + 1)
""",
                at=1,
            ),
            "recursion limit too low": Wrong(
                """
import sys
sys.setrecursionlimit(3000)


def last(n, k):
    return 0 if n == 1 else (last(n - 1, k) + k) % n


n, k = map(int, input().split())
print(last(n, k) + 1)
""",
                at=5,
                detail="RecursionError",
                only=True,
            ),
        },
    ),
    Problem(
        id="9906_B",
        title="Anagram Shelves",
        difficulty="medium",
        statement="Words with the same letters go on one shelf. Print a shelf a line, in the order of their first "
        "words in the input; the words on a shelf in lexicographic order.\n\nInput: N, then a word a line.",
        tests=(
            ("4\nlisten\ntea\nsilent\neat\n", "listen silent\neat tea\n"),
            ("1\na\n", "a\n"),
            ("3\nab\nba\nab\n", "ab ab ba\n"),
            ("3\naab\nabb\nbaa\n", "aab baa\nabb\n"),
            ("3\nb\na\nc\n", "b\na\nc\n"),
        ),
        right={
            "defaultdict": """
from collections import defaultdict
shelves = defaultdict(list)
for _ in range(int(input())):
    word = input().strip()
    shelves["".join(sorted(word))].append(word)
for words in shelves.values():
    print(*sorted(words))
""",
            "frozenset of a Counter": r"""
import sys
sys.stdin.readline()
shelves = {}
for word in sys.stdin.read().split():
    shelves.setdefault(frozenset(Counter(word).items()), []).append(word)
sys.stdout.write("\n".join(" ".join(sorted(words)) for words in shelves.values()))
""",
            "decorator": """
import functools
import io, os

input = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline


def memo(function):
    known = {}

    @functools.wraps(function)
    def wrapped(word):
        if word not in known:
            known[word] = function(word)
        return known[word]

    return wrapped


@memo
def letters(word):
    return tuple(sorted(word))


words = [input().decode().strip() for _ in range(int(input()))]
order = []
for word in words:
    if letters(word) not in order:
        order.append(letters(word))
for key in order:
    print(" ".join(sorted(filter(lambda word: letters(word) == key, words))))
""",
        },
        wrong={
            "shelves in order of their letters": Wrong(
                """
from collections import defaultdict
shelves = defaultdict(list)
for _ in range(int(input())):
    word = input()
    shelves["".join(sorted(word))].append(word)
for key in sorted(shelves):
    print(*sorted(shelves[key]))
""",
                at=1,
            ),
            "a set of letters": Wrong(
                """
shelves = {}
for _ in range(int(input())):
    word = input()
    shelves.setdefault(frozenset(word), []).append(word)
for words in shelves.values():
    print(*sorted(words))
""",
                at=4,
                only=True,
            ),
            "a word once": Wrong(
                """
shelves = {}
for _ in range(int(input())):
    word = input()
    shelves.setdefault(tuple(sorted(word)), set()).add(word)
for words in shelves.values():
    print(*sorted(words))
""",
                at=3,
                only=True,
            ),
            "words as they come": Wrong(
                """
shelves = {}
for _ in range(int(input())):
    word = input()
    shelves.setdefault(tuple(sorted(word)), []).append(word)
for words in shelves.values():
    print(*words)
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="abc909_e",
        title="Rabbits",
        difficulty="hard",
        statement="F(0) = 0, F(1) = 1 and F(n) = F(n-1) + F(n-2). Print F(N) modulo 998244353."
        "\n\nInput: N (0 to 10^18).",
        cpu_s=1,
        tests=(
            ("1\n", "1\n"),
            ("10\n", "55\n"),
            ("0\n", "0\n"),
            ("90\n", "532862916\n"),
            ("1000000000000000000\n", "23849548\n"),
        ),
        right={
            "matrix": """
MOD = 998244353


def mul(a, b):
    return [[sum(x * y for x, y in zip(row, col)) % MOD for col in zip(*b)] for row in a]


def power(m, e):
    result = [[1, 0], [0, 1]]
    while e:
        if e & 1:
            result = mul(result, m)
        m = mul(m, m)
        e >>= 1
    return result


print(power([[1, 1], [1, 0]], int(input()))[0][1])
""",
            "doubling": """
import sys
MOD = 998244353


def fib(n):
    if n == 0:
        return 0, 1
    a, b = fib(n >> 1)
    c = a * (2 * b - a) % MOD
    d = (a * a + b * b) % MOD
    return (d, (c + d) % MOD) if n & 1 else (c, d)


def main():
    print(fib(int(sys.stdin.buffer.readline()))[0])


main()
""",
            "lru_cache without import": """
M = 998244353


@lru_cache(None)
def F(n):
    if n < 3:
        return min(n, 1)
    k = n // 2
    if n % 2:
        return (F(k) ** 2 + F(k + 1) ** 2) % M
    return F(k) * (2 * F(k + 1) - F(k)) % M


print(F(int(input())))
""",
        },
        wrong={
            "step by step": Wrong(
                """
n = int(input())
a, b = 0, 1
for _ in range(n):
    a, b = b, (a + b) % 998244353
print(a)
""",
                at=5,
                status="timeout",
                only=True,
            ),
            "plain recursion": Wrong(
                """
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


print(fib(int(input())) % 998244353)
""",
                at=4,
                status="timeout",
            ),
            "golden ratio": Wrong(
                """
n = int(input())
phi = (1 + 5**0.5) / 2
print(round(phi**n / 5**0.5) % 998244353)
""",
                at=4,
            ),
            "begins with 1 and 1": Wrong(
                """
n = int(input())


def mul(x, y):
    a, b = x
    c, d = y
    return (a * c + b * d) % 998244353, (a * d + b * c + b * d) % 998244353


result, base = (1, 0), (0, 1)
n += 1
while n:
    if n & 1:
        result = mul(result, base)
    base = mul(base, base)
    n >>= 1
print(result[1])
""",
                at=2,
            ),
        },
    ),
    Problem(
        id="9907_A",
        title="To the End",
        difficulty="easy",
        statement="Each line of the input holds two integers; print the sum of each, to the end of the input. Lines "
        "without anything on them are to be passed over.",
        tests=(
            ("1 2\n3 4\n", "3\n7\n"),
            ("0 0\n10 -10\n", "0\n0\n"),
            ("100 23\n5 10", "123\n15\n"),
            ("", ""),
            ("1 2\n\n3 4\n", "3\n7\n"),
        ),
        right={
            "iterates over sys.stdin": """
import sys
for line in sys.stdin:
    if line.strip():
        a, b = map(int, line.split())
        print(a + b)
""",
            "until EOFError": """
while True:
    try:
        line = input()
    except EOFError:
        break
    if line:
        print(sum(int(x) for x in line.split()))
""",
            "until it reads nothing": r"""
import sys
out = []
while line := sys.stdin.readline():
    if line != "\n":
        out.append(sum(map(int, line.split())))
print(*out, sep="\n")
sys.exit()
""",
            "all numbers in pairs": """
import sys
numbers = list(map(int, sys.stdin.buffer.read().split()))
for a, b in zip(*[iter(numbers)] * 2):
    print(a + b)
""",
        },
        wrong={
            "ends at zeros": Wrong(
                """
import sys
for line in sys.stdin:
    if not line.strip():
        continue
    a, b = map(int, line.split())
    if a == b == 0:
        break
    print(a + b)
""",
                at=2,
                only=True,
            ),
            "cuts the last digit where no newline is": Wrong(
                """
import sys
for line in sys.stdin:
    line = line[:-1]
    if line:
        a, b = map(int, line.split())
        print(a + b)
""",
                at=3,
                only=True,
            ),
            "ends at an empty line": Wrong(
                """
import sys
while line := sys.stdin.readline().strip():
    print(sum(map(int, line.split())))
""",
                at=5,
                only=True,
            ),
            "does not see the end": Wrong(
                """
while True:
    line = input()
    if line:
        print(sum(map(int, line.split())))
""",
                at=1,
                detail="EOFError",
            ),
        },
    ),
    Problem(
        id="9907_C",
        title="Rucksack",
        difficulty="hard",
        statement="Of N things, each with a weight and a value and each there once, take some that weigh W together at "
        "most. Print the largest value.\n\nInput: N and W (at most 1000), then weight and value a line.",
        tests=(
            ("3 5\n2 3\n3 4\n4 6\n", "7\n"),
            ("1 3\n5 10\n", "0\n"),
            ("1 4\n2 5\n", "5\n"),
            ("3 50\n10 60\n20 100\n30 120\n", "220\n"),
            ("2 0\n1 1\n2 2\n", "0\n"),
        ),
        right={
            "table from the end": """
n, W = map(int, input().split())
dp = [0] * (W + 1)
for _ in range(n):
    w, v = map(int, input().split())
    for c in range(W, w - 1, -1):
        dp[c] = max(dp[c], dp[c - w] + v)
print(dp[W])
""",
            "numpy rows": """
import numpy as np
n, W = map(int, input().split())
best = np.zeros(W + 1, dtype=np.int64)
for _ in range(n):
    w, v = map(int, input().split())
    if w <= W:
        best[w:] = np.maximum(best[w:], best[: W + 1 - w] + v)
print(best.max())
""",
            "all subsets, with combinations": """
import sys
n, W = map(int, sys.stdin.readline().split())
things = [tuple(map(int, line.split())) for line in sys.stdin.readlines()]
best = 0
for r in range(n + 1):
    for some in combinations(things, r):
        if sum(map(itemgetter(0), some)) <= W:
            best = max(best, sum(map(itemgetter(1), some)))
print(best)
""",
        },
        wrong={
            "as many of each as it likes": Wrong(
                """
n, W = map(int, input().split())
dp = [0] * (W + 1)
for _ in range(n):
    w, v = map(int, input().split())
    for c in range(w, W + 1):
        dp[c] = max(dp[c], dp[c - w] + v)
print(dp[W])
""",
                at=3,
            ),
            "the best by weight first": Wrong(
                """
n, W = map(int, input().split())
things = [tuple(map(int, input().split())) for _ in range(n)]
total = 0
for w, v in sorted(things, key=lambda t: -t[1] / t[0]):
    if w <= W:
        W -= w
        total += v
print(total)
""",
                at=4,
                only=True,
            ),
            "full to the brim": Wrong(
                """
n, W = map(int, input().split())
dp = [0] + [-1] * W
for _ in range(n):
    w, v = map(int, input().split())
    for c in range(W, w - 1, -1):
        if dp[c - w] >= 0:
            dp[c] = max(dp[c], dp[c - w] + v)
print(dp[W])
""",
                at=2,
            ),
            "lighter than W": Wrong(
                """
n, W = map(int, input().split())
dp = [0] * (W + 1)
for _ in range(n):
    w, v = map(int, input().split())
    for c in range(W - 1, w - 1, -1):
        dp[c] = max(dp[c], dp[c - w] + v)
print(max(dp))
""",
                at=1,
            ),
        },
    ),
)
