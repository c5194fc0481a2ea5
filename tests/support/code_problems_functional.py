"""Problems in the manner of LeetCode: a method of ``Solution`` gets its arguments and returns the answer."""

from .code_problems_form import Problem, Wrong

FUNCTIONAL = (
    Problem(
        id="9101",
        title="Indices with a Sum",
        difficulty="easy",
        statement="Return [i, j] with i < j and nums[i] + nums[j] == target: the pair with the least i, and of those "
        "with the least j; [] if there is none.",
        call="indicesWithSum",
        starter="class Solution:\n    def indicesWithSum(self, nums: List[int], target: int) -> List[int]:\n        ",
        tests=(
            ("[2, 7, 11, 15]\n9", "[0, 1]"),
            ("[3, 3]\n6", "[0, 1]"),
            ("[1, 2, 3, 4]\n5", "[0, 3]"),
            ("[5]\n10", "[]"),
            ("[1, 2]\n7", "[]"),
            ("[1, 5, 5, 1]\n6", "[0, 1]"),
        ),
        right={
            "two loops, List without import": """
class Solution:
    def indicesWithSum(self, nums: List[int], target: int) -> List[int]:
        n = len(nums)
        for i in range(n):
            for j in range(i + 1, n):
                if nums[i] + nums[j] == target:
                    return [i, j]
        return []
""",
            "a tuple": """
from itertools import combinations
from typing import List, Tuple


class Solution:
    def indicesWithSum(self, nums: List[int], target: int) -> Tuple[int, ...]:
        for (i, x), (j, y) in combinations(enumerate(nums), 2):
            if x + y == target:
                return i, j
        return ()
""",
            "a function on the top level": """
def indicesWithSum(nums, target):
    later = defaultdict(list)
    for j, x in enumerate(nums):
        later[x].append(j)
    for i, x in enumerate(nums):
        places = later[target - x]
        at = bisect_right(places, i)
        if at < len(places):
            return [i, places[at]]
    return []
""",
        },
        wrong={
            "the least j": Wrong(
                """
class Solution:
    def indicesWithSum(self, nums: List[int], target: int) -> List[int]:
        seen = {}
        for j, x in enumerate(nums):
            if target - x in seen:
                return [seen[target - x], j]
            seen.setdefault(x, j)
        return []
""",
                at=3,
                only=True,
            ),
            "a number with itself": Wrong(
                """
class Solution:
    def indicesWithSum(self, nums: List[int], target: int) -> List[int]:
        for i in range(len(nums)):
            for j in range(i, len(nums)):
                if nums[i] + nums[j] == target:
                    return [i, j]
        return []
""",
                at=2,
            ),
            "counted from 1": Wrong(
                """
class Solution:
    def indicesWithSum(self, nums: List[int], target: int) -> List[int]:
        for i, x in enumerate(nums, 1):
            for j, y in enumerate(nums[i:], i + 1):
                if x + y == target:
                    return [i, j]
        return []
""",
                at=1,
            ),
            "None for none": Wrong(
                """
class Solution:
    def indicesWithSum(self, nums: List[int], target: int) -> List[int]:
        for i in range(len(nums)):
            for j in range(i + 1, len(nums)):
                if nums[i] + nums[j] == target:
                    return [i, j]
""",
                at=4,
            ),
        },
    ),
    Problem(
        id="9102",
        title="Longest Run",
        difficulty="easy",
        statement="Return the length of the longest run of equal characters in s, 0 for an empty s.",
        call="longestRun",
        starter="class Solution:\n    def longestRun(self, s: str) -> int:\n        ",
        tests=(
            ('"aabbba"', "3"),
            ('"a"', "1"),
            ('"abcc"', "2"),
            ('"ababa"', "1"),
            ('""', "0"),
        ),
        right={
            "groupby without import": """
class Solution:
    def longestRun(self, s: str) -> int:
        return max((len(list(run)) for _, run in groupby(s)), default=0)
""",
            "debugging prints": """
class Solution:
    def longestRun(self, s: str) -> int:
        print("s =", s)
        best = run = 0
        previous = None
        for c in s:
            run = run + 1 if c == previous else 1
            previous = c
            best = max(best, run)
            print(c, run, best)
        return best


print(Solution().longestRun("aab"))
""",
            "re without import": r"""
class Solution(object):
    def longestRun(self, s):
        '''
        :type s: str
        :rtype: int
        '''
        return max([len(m.group()) for m in re.finditer(r"(.)\1*", s)] or [0])
""",
        },
        wrong={
            "no run in nothing": Wrong(
                """
class Solution:
    def longestRun(self, s: str) -> int:
        best = run = 1
        for i in range(1, len(s)):
            run = run + 1 if s[i] == s[i - 1] else 1
            best = max(best, run)
        return best
""",
                at=5,
                only=True,
            ),
            "forgets the last run": Wrong(
                """
class Solution:
    def longestRun(self, s: str) -> int:
        if len(s) < 2:
            return len(s)
        best, run = 1, 1
        for a, b in zip(s, s[1:]):
            if a == b:
                run += 1
            else:
                best = max(best, run)
                run = 1
        return best
""",
                at=3,
                only=True,
            ),
            "counts it all over the text": Wrong(
                """
from collections import Counter


class Solution:
    def longestRun(self, s: str) -> int:
        return max(Counter(s).values(), default=0)
""",
                at=4,
                only=True,
            ),
            "first character of nothing": Wrong(
                """
class Solution:
    def longestRun(self, s: str) -> int:
        previous, best, run = s[0], 0, 0
        for c in s:
            run = run + 1 if c == previous else 1
            previous = c
            best = max(best, run)
        return best
""",
                at=5,
                detail="IndexError",
                only=True,
            ),
        },
    ),
    Problem(
        id="9103",
        title="Merge Bookings",
        difficulty="medium",
        statement="Merge bookings [start, end] that overlap or touch, and return what is left, by start.",
        call="mergeBookings",
        starter="class Solution:\n    def mergeBookings(self, bookings: List[List[int]]) -> List[List[int]]:\n        ",
        tests=(
            ("[[1, 3], [2, 6], [8, 10]]", "[[1, 6], [8, 10]]"),
            ("[[5, 6], [1, 2]]", "[[1, 2], [5, 6]]"),
            ("[]", "[]"),
            ("[[1, 10], [2, 3]]", "[[1, 10]]"),
            ("[[1, 2], [2, 3]]", "[[1, 3]]"),
        ),
        right={
            "sorted": """
class Solution:
    def mergeBookings(self, bookings: List[List[int]]) -> List[List[int]]:
        merged = []
        for start, end in sorted(bookings):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        return merged
""",
            "tuples in a tuple, from a generator": """
from collections.abc import Iterator


class Solution:
    def mergeBookings(self, bookings: list[list[int]]) -> tuple[tuple[int, int], ...]:
        return tuple(self._merged(sorted(map(tuple, bookings))))

    @staticmethod
    def _merged(bookings) -> Iterator[tuple[int, int]]:
        if not bookings:
            return
        low, high = bookings[0]
        for start, end in bookings:
            if start > high:
                yield low, high
                low, high = start, end
            high = max(high, end)
        yield low, high
""",
            "events": """
def sweep(bookings):
    events = [(s, 0) for s, _ in bookings] + [(e, 1) for _, e in bookings]
    depth = 0
    for at, closing in sorted(events):
        if not closing:
            if depth == 0:
                start = at
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                yield [start, at]


class Solution:
    def mergeBookings(self, bookings: List[List[int]]) -> List[List[int]]:
        return list(sweep(bookings))
""",
        },
        wrong={
            "touching ones stay two": Wrong(
                """
class Solution:
    def mergeBookings(self, bookings: List[List[int]]) -> List[List[int]]:
        merged = []
        for start, end in sorted(bookings):
            if merged and start < merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        return merged
""",
                at=5,
                only=True,
            ),
            "the later start's end": Wrong(
                """
class Solution:
    def mergeBookings(self, bookings: List[List[int]]) -> List[List[int]]:
        merged = []
        for start, end in sorted(bookings):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = end
            else:
                merged.append([start, end])
        return merged
""",
                at=4,
                only=True,
            ),
            "as they come": Wrong(
                """
class Solution:
    def mergeBookings(self, bookings: List[List[int]]) -> List[List[int]]:
        merged = []
        for start, end in bookings:
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        return merged
""",
                at=2,
                only=True,
            ),
            "the first of none": Wrong(
                """
class Solution:
    def mergeBookings(self, bookings: List[List[int]]) -> List[List[int]]:
        bookings.sort()
        merged = [bookings[0]]
        for start, end in bookings[1:]:
            if start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        return merged
""",
                at=3,
                detail="IndexError",
                only=True,
            ),
        },
    ),
    Problem(
        id="9104",
        title="Steps to One",
        difficulty="medium",
        statement="An even n may be halved, an odd one changed by 1 up or down. Return the least number of steps "
        "from n to 1.",
        call="stepsToOne",
        starter="class Solution:\n    def stepsToOne(self, n: int) -> int:\n        ",
        tests=(
            ("8", "3"),
            ("7", "4"),
            ("1", "0"),
            ("3", "2"),
            ("65535", "17"),
            ("2147483647", "32"),
        ),
        right={
            "lru_cache on a method": """
from functools import lru_cache


class Solution:
    @lru_cache(None)
    def stepsToOne(self, n: int) -> int:
        if n == 1:
            return 0
        if n % 2 == 0:
            return 1 + self.stepsToOne(n // 2)
        return 1 + min(self.stepsToOne(n + 1), self.stepsToOne(n - 1))
""",
            "bits": """
class Solution:
    def stepsToOne(self, n: int) -> int:
        steps = 0
        while n != 1:
            if n & 1 == 0:
                n >>= 1
            elif n == 3 or n & 2 == 0:
                n -= 1
            else:
                n += 1
            steps += 1
        return steps
""",
            "breadth first with deque without import": """
class Solution:
    def stepsToOne(self, n: int) -> int:
        queue, seen = deque([(n, 0)]), {n}
        while queue:
            value, steps = queue.popleft()
            if value == 1:
                return steps
            for other in [value // 2] if value % 2 == 0 else [value - 1, value + 1]:
                if other not in seen:
                    seen.add(other)
                    queue.append((other, steps + 1))
        return -1
""",
        },
        wrong={
            "always down": Wrong(
                """
class Solution:
    def stepsToOne(self, n: int) -> int:
        steps = 0
        while n > 1:
            n = n // 2 if n % 2 == 0 else n - 1
            steps += 1
        return steps
""",
                at=5,
            ),
            "3 goes up": Wrong(
                """
class Solution:
    def stepsToOne(self, n: int) -> int:
        steps = 0
        while n != 1:
            if n % 2 == 0:
                n //= 2
            elif n % 4 == 3:
                n += 1
            else:
                n -= 1
            steps += 1
        return steps
""",
                at=4,
                only=True,
            ),
            "counts the numbers": Wrong(
                """
from functools import cache


class Solution:
    def stepsToOne(self, n: int) -> int:
        @cache
        def go(n):
            if n == 1:
                return 1
            if n % 2 == 0:
                return 1 + go(n // 2)
            return 1 + min(go(n + 1), go(n - 1))

        return go(n)
""",
                at=1,
            ),
            "prints it": Wrong(
                """
class Solution:
    def stepsToOne(self, n: int) -> int:
        steps = 0
        while n != 1:
            if n & 1 == 0:
                n >>= 1
            elif n == 3 or n & 2 == 0:
                n -= 1
            else:
                n += 1
            steps += 1
        print(steps)
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="9105",
        title="Cheapest Climb",
        difficulty="medium",
        statement="Standing on stair i costs cost[i]. Begin on stair 0 or 1, go up by one or two, and end behind the "
        "last stair. Return the least cost.",
        call="cheapestClimb",
        starter="class Solution:\n    def cheapestClimb(self, cost: List[int]) -> int:\n        ",
        tests=(
            ("[10, 15, 20]", "15"),
            ("[1, 100, 1, 1, 1, 100, 1, 1, 100, 1]", "6"),
            ("[5, 3]", "3"),
            ("[5]", "0"),
            ("[" + ", ".join(["1"] * 20_000) + "]", "10000"),
        ),
        right={
            "two variables": """
class Solution:
    def cheapestClimb(self, cost: List[int]) -> int:
        a = b = 0
        for i in range(2, len(cost) + 1):
            a, b = b, min(b + cost[i - 1], a + cost[i - 2])
        return b
""",
            "lru_cache, 20000 deep": """
from functools import lru_cache
from typing import List


class Solution:
    def cheapestClimb(self, cost: List[int]) -> int:
        n = len(cost)

        @lru_cache(maxsize=None)
        def dfs(i: int) -> int:
            if i >= n:
                return 0
            return cost[i] + min(dfs(i + 1), dfs(i + 2))

        return min(dfs(0), dfs(1))
""",
            "two methods": """
class Solution:
    def climb(self, i):
        if i not in self.memo:
            self.memo[i] = self.cost[i] + min(self.climb(i + 1), self.climb(i + 2))
        return self.memo[i]

    def cheapestClimb(self, cost: List[int]) -> int:
        self.cost = cost
        self.memo = {len(cost): 0, len(cost) + 1: 0}
        return min(self.climb(0), self.climb(1))
""",
        },
        wrong={
            "begins on stair 0": Wrong(
                """
class Solution:
    def cheapestClimb(self, cost: List[int]) -> int:
        a, b = 0, cost[0]
        for c in cost[1:]:
            a, b = b, c + min(a, b)
        return min(a, b) if len(cost) > 2 else b
""",
                at=4,
            ),
            "steps onto the last stair": Wrong(
                """
class Solution:
    def cheapestClimb(self, cost: List[int]) -> int:
        dp = cost[:]
        for i in range(2, len(cost)):
            dp[i] += min(dp[i - 1], dp[i - 2])
        return dp[-1]
""",
                at=1,
            ),
            "takes it that there are two": Wrong(
                """
class Solution:
    def cheapestClimb(self, cost: List[int]) -> int:
        dp = [cost[0], cost[1]]
        for c in cost[2:]:
            dp.append(c + min(dp[-1], dp[-2]))
        return min(dp[-1], dp[-2])
""",
                at=4,
                detail="IndexError",
                only=True,
            ),
            "recursion limit too low": Wrong(
                """
import sys
from functools import lru_cache
sys.setrecursionlimit(10000)


class Solution:
    def cheapestClimb(self, cost: List[int]) -> int:
        @lru_cache(None)
        def dfs(i):
            return 0 if i >= len(cost) else cost[i] + min(dfs(i + 1), dfs(i + 2))

        return min(dfs(0), dfs(1))
""",
                at=5,
                detail="RecursionError",
                only=True,
            ),
        },
    ),
    Problem(
        id="9106",
        title="Pieces with All Three",
        difficulty="medium",
        statement="s consists of the letters a, b and c. Return how many of its pieces, each by where it begins and "
        "ends, have all three of them; s has at most 100000 letters.",
        call="piecesWithAll",
        starter="class Solution:\n    def piecesWithAll(self, s: str) -> int:\n        ",
        cpu_s=2,
        tests=(
            ('"abc"', "1"),
            ('"abcabc"', "10"),
            ('"aaacb"', "3"),
            ('""', "0"),
            ('"ab"', "0"),
            ('"' + "abc" * 20_000 + '"', "1799910001"),
        ),
        right={
            "last places": """
class Solution:
    def piecesWithAll(self, s: str) -> int:
        last = {"a": -1, "b": -1, "c": -1}
        total = 0
        for i, ch in enumerate(s):
            last[ch] = i
            total += 1 + min(last.values())
        return total
""",
            "a window": """
from collections import Counter


class Solution:
    def piecesWithAll(self, s: str) -> int:
        inside = Counter()
        left = total = 0
        for right, ch in enumerate(s):
            inside[ch] += 1
            while all(inside[x] for x in "abc"):
                total += len(s) - right
                inside[s[left]] -= 1
                left += 1
        return total
""",
            "bisect over places": """
class Solution:
    def piecesWithAll(self, s: str) -> int:
        places = [[i for i, ch in enumerate(s) if ch == x] for x in "abc"]
        total = 0
        for i in range(len(s)):
            ends = []
            for one in places:
                at = bisect_left(one, i)
                if at == len(one):
                    return total
                ends.append(one[at])
            total += len(s) - max(ends)
        return total
""",
        },
        wrong={
            "quadratic": Wrong(
                """
class Solution:
    def piecesWithAll(self, s: str) -> int:
        total = 0
        for i in range(len(s)):
            seen = set()
            for j in range(i, len(s)):
                seen.add(s[j])
                if len(seen) == 3:
                    total += 1
        return total
""",
                at=6,
                status="timeout",
                only=True,
            ),
            "three letters long": Wrong(
                """
class Solution:
    def piecesWithAll(self, s: str) -> int:
        return sum(len(set(s[i : i + 3])) == 3 for i in range(len(s) - 2))
""",
                at=2,
            ),
            "the letters behind a window forgotten": Wrong(
                """
class Solution:
    def piecesWithAll(self, s: str) -> int:
        last = {}
        total = 0
        for i, ch in enumerate(s):
            last[ch] = i
            if len(last) == 3:
                total += min(last.values())
        return total
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="9107",
        title="Median of Two Lists",
        difficulty="hard",
        statement="Return the median of the numbers in two sorted lists together, not both of them empty; of an even "
        "number of them the mean of the two in the middle.",
        call="medianOfTwo",
        starter="class Solution:\n    def medianOfTwo(self, a: List[int], b: List[int]) -> float:\n        ",
        tests=(
            ("[1, 3]\n[2]", "2.00000"),
            ("[1, 2]\n[3, 4]", "2.50000"),
            ("[]\n[5]", "5.00000"),
            ("[0, 0]\n[0, 0]", "0.00000"),
            ("[-5, -3]\n[-2, 1]", "-2.50000"),
        ),
        right={
            "statistics without import, 2 for 2.0": """
class Solution:
    def medianOfTwo(self, a: List[int], b: List[int]) -> float:
        return statistics.median(a + b)
""",
            "numpy's float": """
import numpy as np


class Solution:
    def medianOfTwo(self, a: List[int], b: List[int]) -> float:
        return np.median(np.concatenate([a, b]))
""",
            "merge": """
import heapq
from itertools import islice


class Solution:
    def medianOfTwo(self, a: List[int], b: List[int]) -> float:
        n = len(a) + len(b)
        middle = list(islice(heapq.merge(a, b), (n - 1) // 2, n // 2 + 1))
        return sum(middle) / len(middle)
""",
        },
        wrong={
            "whole numbers": Wrong(
                """
class Solution:
    def medianOfTwo(self, a: List[int], b: List[int]) -> float:
        c = sorted(a + b)
        n = len(c)
        return (c[(n - 1) // 2] + c[n // 2]) // 2
""",
                at=2,
            ),
            "the upper one": Wrong(
                """
class Solution:
    def medianOfTwo(self, a: List[int], b: List[int]) -> float:
        c = sorted(a + b)
        return float(c[len(c) // 2])
""",
                at=2,
            ),
            "one list empty": Wrong(
                """
class Solution:
    def medianOfTwo(self, a: List[int], b: List[int]) -> float:
        if a[-1] < b[0]:
            c = a + b
        else:
            c = sorted(a + b)
        n = len(c)
        return (c[(n - 1) // 2] + c[n // 2]) / 2
""",
                at=3,
                detail="IndexError",
                only=True,
            ),
            "rounded": Wrong(
                """
class Solution:
    def medianOfTwo(self, a: List[int], b: List[int]) -> float:
        c = sorted(a + b)
        n = len(c)
        return float(int((c[(n - 1) // 2] + c[n // 2]) / 2 + 0.5))
""",
                at=2,
            ),
        },
    ),
    Problem(
        id="9108",
        title="Shift a Grid",
        difficulty="easy",
        statement="Move every cell of a grid k places on, along the rows and from the end of each to the beginning of "
        "the next, the last cell to the first place.",
        call="shiftGrid",
        starter="class Solution:\n    def shiftGrid(self, grid: List[List[int]], k: int) -> List[List[int]]:\n        ",
        tests=(
            ("[[1, 2, 3], [4, 5, 6]]\n1", "[[6, 1, 2], [3, 4, 5]]"),
            ("[[1, 2], [3, 4]]\n0", "[[1, 2], [3, 4]]"),
            ("[[1, 2, 3], [4, 5, 6]]\n7", "[[6, 1, 2], [3, 4, 5]]"),
            ("[[1]]\n100", "[[1]]"),
            ("[[1, 2]]\n1", "[[2, 1]]"),
        ),
        right={
            "deque.rotate without import": """
class Solution:
    def shiftGrid(self, grid: List[List[int]], k: int) -> List[List[int]]:
        cells = deque(x for row in grid for x in row)
        cells.rotate(k)
        return [[cells.popleft() for _ in row] for row in grid]
""",
            "rows of numpy's integers": """
import numpy as np


class Solution:
    def shiftGrid(self, grid: List[List[int]], k: int) -> List[List[int]]:
        turned = np.roll(np.array(grid, dtype=np.int32), k)
        return [[x for x in row] for row in turned]
""",
            "places": """
class Solution:
    def shiftGrid(self, grid: List[List[int]], k: int) -> List[List[int]]:
        h, w = len(grid), len(grid[0])

        def cell(place):
            return grid[place // w][place % w]

        return [[cell((i * w + j - k) % (h * w)) for j in range(w)] for i in range(h)]
""",
        },
        wrong={
            "the other way": Wrong(
                """
class Solution:
    def shiftGrid(self, grid: List[List[int]], k: int) -> List[List[int]]:
        w = len(grid[0])
        cells = [x for row in grid for x in row]
        k %= len(cells)
        cells = cells[k:] + cells[:k]
        return [cells[i : i + w] for i in range(0, len(cells), w)]
""",
                at=1,
            ),
            "each row by itself": Wrong(
                """
class Solution:
    def shiftGrid(self, grid: List[List[int]], k: int) -> List[List[int]]:
        k %= len(grid[0])
        return [row[-k:] + row[:-k] if k else row for row in grid]
""",
                at=1,
            ),
            "more than once round": Wrong(
                """
class Solution:
    def shiftGrid(self, grid: List[List[int]], k: int) -> List[List[int]]:
        w = len(grid[0])
        cells = [x for row in grid for x in row]
        cells = cells[-k:] + cells[:-k]
        return [cells[i : i + w] for i in range(0, len(cells), w)]
""",
                at=3,
                only=True,
            ),
            "rows that are one list": Wrong(
                """
class Solution:
    def shiftGrid(self, grid: List[List[int]], k: int) -> List[List[int]]:
        h, w = len(grid), len(grid[0])
        out = [[0] * w] * h
        for i in range(h):
            for j in range(w):
                place = (i * w + j + k) % (h * w)
                out[place // w][place % w] = grid[i][j]
        return out
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="9109",
        title="Most Used Words",
        difficulty="medium",
        statement="Return the k words that are most often in a list, the most frequent first, equally frequent ones in "
        "lexicographic order.",
        call="mostUsed",
        starter="class Solution:\n    def mostUsed(self, words: List[str], k: int) -> List[str]:\n        ",
        tests=(
            ('["i", "love", "code", "i", "love", "tea"]\n2', '["i", "love"]'),
            ('["b", "a", "b"]\n2', '["b", "a"]'),
            ('["b", "a"]\n1', '["a"]'),
            ('["the", "day", "is", "the", "is", "is"]\n3', '["is", "the", "day"]'),
            ('["z", "b", "z", "b", "c"]\n3', '["b", "z", "c"]'),
        ),
        right={
            "Counter without import": """
class Solution:
    def mostUsed(self, words: List[str], k: int) -> List[str]:
        count = Counter(words)
        return sorted(count, key=lambda w: (-count[w], w))[:k]
""",
            "nsmallest": """
import collections
import heapq


class Solution:
    def mostUsed(self, words, k):
        count = collections.Counter(words)
        return [word for _, word in heapq.nsmallest(k, [(-n, word) for word, n in count.items()])]
""",
            "objects on a heap": """
from heapq import heapify, heappop


class Word:
    def __init__(self, text, n):
        self.text, self.n = text, n

    def __lt__(self, other):
        return self.n > other.n or (self.n == other.n and self.text < other.text)


class Solution:
    def __init__(self):
        self.heap = []

    def mostUsed(self, words: List[str], k: int) -> List[str]:
        self.heap = [Word(w, words.count(w)) for w in {*words}]
        heapify(self.heap)
        return [heappop(self.heap).text for _ in range(k)]
""",
        },
        wrong={
            "equal ones as they come": Wrong(
                """
from collections import Counter


class Solution:
    def mostUsed(self, words: List[str], k: int) -> List[str]:
        return [word for word, _ in Counter(words).most_common(k)]
""",
                at=3,
            ),
            "equal ones backwards": Wrong(
                """
from collections import Counter


class Solution:
    def mostUsed(self, words: List[str], k: int) -> List[str]:
        count = Counter(words)
        return sorted(count, key=lambda w: (count[w], w), reverse=True)[:k]
""",
                at=1,
            ),
            "one too many": Wrong(
                """
from collections import Counter


class Solution:
    def mostUsed(self, words: List[str], k: int) -> List[str]:
        count = Counter(words)
        return sorted(count, key=lambda w: (-count[w], w))[: k + 1]
""",
                at=1,
            ),
            "the chosen ones in order of the alphabet": Wrong(
                """
from collections import Counter


class Solution:
    def mostUsed(self, words: List[str], k: int) -> List[str]:
        count = Counter(words)
        return sorted(sorted(count, key=lambda w: (-count[w], w))[:k])
""",
                at=2,
            ),
        },
    ),
    Problem(
        id="9110",
        title="Can They Meet",
        difficulty="medium",
        statement="Places 0 to n - 1 are joined by roads that lead both ways. Return whether a way leads from a to b.",
        call="canMeet",
        starter="class Solution:\n    def canMeet(self, n: int, roads: List[List[int]], a: int, b: int) -> bool:\n"
        "        ",
        tests=(
            ("3\n[[0, 1], [1, 2]]\n0\n2", "true"),
            ("3\n[[0, 1]]\n0\n2", "false"),
            ("1\n[]\n0\n0", "true"),
            ("4\n[[1, 0], [2, 1], [3, 2]]\n0\n3", "true"),
            ("6\n[[0, 1], [1, 2], [2, 0], [3, 4], [4, 5], [5, 3]]\n0\n5", "false"),
        ),
        right={
            "union-find": """
class UnionFind:
    def __init__(self, n):
        self.root = list(range(n))

    def find(self, x):
        if self.root[x] != x:
            self.root[x] = self.find(self.root[x])
        return self.root[x]

    def union(self, x, y):
        self.root[self.find(x)] = self.find(y)


class Solution:
    def canMeet(self, n: int, roads: List[List[int]], a: int, b: int) -> bool:
        groups = UnionFind(n)
        for x, y in roads:
            groups.union(x, y)
        return groups.find(a) == groups.find(b)
""",
            "depth first": """
from collections import defaultdict


class Solution:
    def canMeet(self, n: int, roads: List[List[int]], a: int, b: int) -> bool:
        beside = defaultdict(set)
        for x, y in roads:
            beside[x].add(y)
            beside[y].add(x)
        seen = set()

        def walk(x):
            if x == b:
                return True
            seen.add(x)
            return any(walk(y) for y in beside[x] if y not in seen)

        return walk(a)
""",
            "numpy's bool": """
import numpy as np


class Solution:
    def canMeet(self, n: int, roads: List[List[int]], a: int, b: int) -> bool:
        reach = np.eye(n, dtype=bool)
        for x, y in roads:
            reach[x, y] = reach[y, x] = True
        for _ in range(n):
            reach = reach @ reach
        return reach[a, b]
""",
        },
        wrong={
            "one-way roads": Wrong(
                """
class Solution:
    def canMeet(self, n: int, roads: List[List[int]], a: int, b: int) -> bool:
        beside = [[] for _ in range(n)]
        for x, y in roads:
            beside[x].append(y)
        seen, stack = {a}, [a]
        while stack:
            for y in beside[stack.pop()]:
                if y not in seen:
                    seen.add(y)
                    stack.append(y)
        return b in seen
""",
                at=4,
                only=True,
            ),
            "a place is not on any road": Wrong(
                """
class Solution:
    def canMeet(self, n: int, roads: List[List[int]], a: int, b: int) -> bool:
        groups = []
        for x, y in roads:
            joined = [g for g in groups if x in g or y in g]
            groups = [g for g in groups if g not in joined] + [{x, y}.union(*joined)]
        return any(a in g and b in g for g in groups)
""",
                at=3,
                only=True,
            ),
            "words for it": Wrong(
                """
class Solution:
    def canMeet(self, n: int, roads: List[List[int]], a: int, b: int) -> bool:
        group = list(range(n))
        for x, y in roads:
            old, new = group[x], group[y]
            group = [new if g == old else g for g in group]
        return "true" if group[a] == group[b] else "false"
""",
                at=1,
            ),
            "neighbours only": Wrong(
                """
class Solution:
    def canMeet(self, n: int, roads: List[List[int]], a: int, b: int) -> bool:
        return a == b or [a, b] in roads or [b, a] in roads
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="9111",
        title="Shorten a Text",
        difficulty="easy",
        statement="Write each run of a letter as that letter, followed by the run's length if it is more than 1.",
        call="shorten",
        starter="class Solution:\n    def shorten(self, s: str) -> str:\n        ",
        tests=(
            ('"aaabcc"', '"a3bc2"'),
            ('"xyz"', '"xyz"'),
            ('""', '""'),
            ('"aaaaaaaaaaaab"', '"a12b"'),
            ('"abaab"', '"aba2b"'),
        ),
        right={
            "groupby": """
from itertools import groupby


class Solution:
    def shorten(self, s: str) -> str:
        out = []
        for letter, run in groupby(s):
            n = sum(1 for _ in run)
            out.append(letter + (str(n) if n > 1 else ""))
        return "".join(out)
""",
            "re without import": r"""
class Solution:
    def shorten(self, s: str) -> str:
        return re.sub(r"(.)\1+", lambda m: f"{m[1]}{len(m[0])}", s)
""",
            "state in the module": """
pieces = []
current, length = "", 0


def close():
    global current, length
    if current:
        pieces.append(current if length == 1 else current + str(length))
    current, length = "", 0


def shorten(s):
    global current, length
    for letter in s:
        if letter != current:
            close()
            current = letter
        length += 1
    close()
    return "".join(pieces)
""",
        },
        wrong={
            "1 is written": Wrong(
                """
from itertools import groupby


class Solution:
    def shorten(self, s: str) -> str:
        return "".join(letter + str(len(list(run))) for letter, run in groupby(s))
""",
                at=1,
            ),
            "9 at most": Wrong(
                """
class Solution:
    def shorten(self, s: str) -> str:
        out, i = "", 0
        while i < len(s):
            n = 1
            while n < 9 and s[i : i + n + 1] == s[i] * (n + 1):
                n += 1
            out += s[i] + (str(n) if n > 1 else "")
            i += n
        return out
""",
                at=4,
                only=True,
            ),
            "forgets the last run": Wrong(
                """
class Solution:
    def shorten(self, s: str) -> str:
        out, n = "", 1
        for a, b in zip(s, s[1:]):
            if a == b:
                n += 1
            else:
                out += a + (str(n) if n > 1 else "")
                n = 1
        return out
""",
                at=1,
            ),
            "prints it": Wrong(
                """
from itertools import groupby


class Solution:
    def shorten(self, s: str) -> None:
        out = ""
        for letter, run in groupby(s):
            n = len(list(run))
            out += letter + (str(n) if n > 1 else "")
        print(out)
""",
                at=1,
            ),
            "counts it all over the text": Wrong(
                """
from collections import Counter


class Solution:
    def shorten(self, s: str) -> str:
        return "".join(letter + (str(n) if n > 1 else "") for letter, n in Counter(s).items())
""",
                at=5,
                only=True,
            ),
        },
    ),
    Problem(
        id="9112",
        title="Spiral Walk",
        difficulty="medium",
        statement="Return the cells of a table in the order of a spiral: from its first cell to the right, clockwise, "
        "inwards.",
        call="spiralWalk",
        starter="class Solution:\n    def spiralWalk(self, table: List[List[int]]) -> List[int]:\n        ",
        tests=(
            ("[[1, 2, 3], [4, 5, 6], [7, 8, 9]]", "[1, 2, 3, 6, 9, 8, 7, 4, 5]"),
            ("[[1, 2], [3, 4]]", "[1, 2, 4, 3]"),
            ("[[1, 2, 3]]", "[1, 2, 3]"),
            ("[[1], [2], [3]]", "[1, 2, 3]"),
            ("[[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]", "[1, 2, 3, 4, 8, 12, 11, 10, 9, 5, 6, 7]"),
        ),
        right={
            "turns what is left": """
class Solution:
    def spiralWalk(self, table: List[List[int]]) -> List[int]:
        out = []
        while table:
            out.extend(table.pop(0))
            table = [list(row) for row in zip(*table)][::-1]
        return out
""",
            "walks until it was there": """
class Solution:
    def spiralWalk(self, table: List[List[int]]) -> List[int]:
        h, w = len(table), len(table[0])
        seen = set()
        x, y, dx, dy = 0, 0, 0, 1
        out = []
        for _ in range(h * w):
            out.append(table[x][y])
            seen.add((x, y))
            u, v = x + dx, y + dy
            if not (0 <= u < h and 0 <= v < w) or (u, v) in seen:
                dx, dy = dy, -dx
                u, v = x + dx, y + dy
            x, y = u, v
        return out
""",
            "numpy's integers in a tuple": """
import numpy


class Solution:
    def spiralWalk(self, table: List[List[int]]) -> List[int]:
        left = numpy.array(table)
        out = ()
        while left.size:
            out += tuple(left[0])
            left = numpy.rot90(left[1:])
        return out
""",
        },
        wrong={
            "one row or column is walked twice": Wrong(
                """
class Solution:
    def spiralWalk(self, table: List[List[int]]) -> List[int]:
        top, bottom, left, right = 0, len(table) - 1, 0, len(table[0]) - 1
        out = []
        while top <= bottom and left <= right:
            out += [table[top][j] for j in range(left, right + 1)]
            out += [table[i][right] for i in range(top + 1, bottom + 1)]
            out += [table[bottom][j] for j in range(right - 1, left - 1, -1)]
            out += [table[i][left] for i in range(bottom - 1, top, -1)]
            top, bottom, left, right = top + 1, bottom - 1, left + 1, right - 1
        return out
""",
                at=3,
            ),
            "the other way": Wrong(
                """
class Solution:
    def spiralWalk(self, table: List[List[int]]) -> List[int]:
        out = []
        while table and table[0]:
            out += [row[0] for row in table]
            table = [list(row) for row in zip(*[row[1:] for row in table])][::-1]
            table = [list(row) for row in table]
        return out
""",
                at=1,
            ),
            "there and back": Wrong(
                """
class Solution:
    def spiralWalk(self, table: List[List[int]]) -> List[int]:
        return [x for i, row in enumerate(table) for x in (row if i % 2 == 0 else row[::-1])]
""",
                at=1,
            ),
            "as many rows as columns": Wrong(
                """
class Solution:
    def spiralWalk(self, table: List[List[int]]) -> List[int]:
        n = len(table)
        out = []
        for ring in range((n + 1) // 2):
            last = n - 1 - ring
            if ring == last:
                out.append(table[ring][ring])
                break
            out += table[ring][ring:last]
            out += [table[i][last] for i in range(ring, last)]
            out += [table[last][j] for j in range(last, ring, -1)]
            out += [table[i][ring] for i in range(last, ring, -1)]
        return out
""",
                at=3,
            ),
        },
    ),
    Problem(
        id="9113",
        title="Trading with a Fee",
        difficulty="medium",
        statement="Buy and sell one share as often as you like, holding one at most; each sale costs a fee. Return the "
        "largest profit over the days' prices.",
        call="bestProfit",
        starter="class Solution:\n    def bestProfit(self, prices: List[int], fee: int) -> int:\n        ",
        tests=(
            ("[1, 3, 2, 8, 4, 9]\n2", "8"),
            ("[5]\n1", "0"),
            ("[9, 8, 7]\n1", "0"),
            ("[1, 2]\n5", "0"),
            ("[1, 3, 7, 5, 10, 3]\n3", "6"),
        ),
        right={
            "with and without": """
class Solution:
    def bestProfit(self, prices: List[int], fee: int) -> int:
        free, holding = 0, -prices[0]
        for p in prices[1:]:
            free, holding = max(free, holding + p - fee), max(holding, free - p)
        return free
""",
            "recursion with cache without import": """
class Solution:
    def bestProfit(self, prices: List[int], fee: int) -> int:
        @cache
        def best(day, holding):
            if day == len(prices):
                return 0
            wait = best(day + 1, holding)
            if holding:
                return max(wait, best(day + 1, False) + prices[day] - fee)
            return max(wait, best(day + 1, True) - prices[day])

        return best(0, False)
""",
            "all pairs of days, -inf, a float": """
class Solution:
    def bestProfit(self, prices: List[int], fee: int) -> float:
        best = [0.0] * (len(prices) + 1)
        for sold in range(1, len(prices) + 1):
            deal = -inf
            for bought in range(sold):
                deal = max(deal, best[bought] + prices[sold - 1] - prices[bought] - fee)
            best[sold] = max(best[sold - 1], deal)
        return best[-1]
""",
        },
        wrong={
            "a fee for each rise": Wrong(
                """
class Solution:
    def bestProfit(self, prices: List[int], fee: int) -> int:
        return sum(max(0, b - a - fee) for a, b in zip(prices, prices[1:]))
""",
                at=1,
            ),
            "one deal": Wrong(
                """
class Solution:
    def bestProfit(self, prices: List[int], fee: int) -> int:
        low, best = prices[0], 0
        for p in prices:
            best = max(best, p - low - fee)
            low = min(low, p)
        return best
""",
                at=1,
            ),
            "has to trade": Wrong(
                """
class Solution:
    def bestProfit(self, prices: List[int], fee: int) -> int:
        if len(prices) < 2:
            return 0
        low, best, total = prices[0], max(b - a - fee for a, b in zip(prices, prices[1:])), 0
        free, holding = 0, -prices[0]
        for p in prices[1:]:
            free, holding = max(free, holding + p - fee), max(holding, free - p)
        return free or best
""",
                at=3,
            ),
            "no fee": Wrong(
                """
class Solution:
    def bestProfit(self, prices: List[int], fee: int) -> int:
        return sum(max(0, b - a) for a, b in zip(prices, prices[1:]))
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="9114",
        title="Different Values",
        difficulty="easy",
        statement="Return for each list of a list of lists how many different values it has.",
        call="differentValues",
        starter="class Solution:\n    def differentValues(self, lists: List[List[int]]) -> List[int]:\n        ",
        tests=(
            ("[[1, 2, 2]]", "[2]"),
            ("[[], [7]]", "[0, 1]"),
            ("[[1, 2], [2, 1], [3]]", "[2, 2, 1]"),
            ("[]", "[]"),
            ("[[0, 1, 1, 0], [2, 2]]", "[2, 1]"),
        ),
        right={
            "sets": """
class Solution:
    def differentValues(self, lists: List[List[int]]) -> List[int]:
        return [len(set(one)) for one in lists]
""",
            "numpy's integers": """
import numpy as np


class Solution:
    def differentValues(self, lists: List[List[int]]) -> List[int]:
        return [np.int64(np.unique(np.array(one)).size) for one in lists]
""",
            "decorator": """
def for_each(function):
    def wrapper(self, many):
        return [function(self, one) for one in many]

    return wrapper


class Solution:
    @for_each
    def differentValues(self, values):
        values = sorted(values)
        return sum(i == 0 or values[i] != values[i - 1] for i in range(len(values)))
""",
        },
        wrong={
            "a default that all calls share": Wrong(
                """
class Solution:
    def count(self, values, seen=set()):
        before = len(seen)
        for x in values:
            seen.add(x)
        return len(seen) - before

    def differentValues(self, lists: List[List[int]]) -> List[int]:
        return [self.count(one) for one in lists]
""",
                at=3,
                only=True,
            ),
            "the last of each": Wrong(
                """
class Solution:
    def differentValues(self, lists: List[List[int]]) -> List[int]:
        return [len(set(one[:-1])) for one in lists]
""",
                at=2,
            ),
            "0 is no value": Wrong(
                """
class Solution:
    def differentValues(self, lists: List[List[int]]) -> List[int]:
        return [len({x for x in one if x}) for one in lists]
""",
                at=5,
                only=True,
            ),
            "a map": Wrong(
                """
class Solution:
    def differentValues(self, lists: List[List[int]]) -> List[int]:
        return map(lambda one: len(set(one)), lists)
""",
                at=1,
                detail="TypeError",
            ),
        },
    ),
    Problem(
        id="9115",
        title="Unfold a Text",
        difficulty="medium",
        statement="In s a number with brackets stands for what is between them, that many times, to any depth. Return "
        "it written out.",
        call="unfold",
        starter="class Solution:\n    def unfold(self, s: str) -> str:\n        ",
        tests=(
            ('"3[a]2[bc]"', '"aaabcbc"'),
            ('"abc"', '"abc"'),
            ('"2[a2[b]]c"', '"abbabbc"'),
            ('"12[x]"', '"xxxxxxxxxxxx"'),
            ('""', '""'),
            ('"0[q]z"', '"z"'),
        ),
        right={
            "a stack": """
class Solution:
    def unfold(self, s: str) -> str:
        stack, text, number = [], "", 0
        for c in s:
            if c.isdigit():
                number = number * 10 + int(c)
            elif c == "[":
                stack.append((text, number))
                text, number = "", 0
            elif c == "]":
                before, times = stack.pop()
                text = before + text * times
            else:
                text += c
        return text
""",
            "helper outside, by recursion": """
def parse(s, i):
    out, number = [], 0
    while i < len(s) and s[i] != "]":
        if s[i].isdigit():
            number = number * 10 + int(s[i])
            i += 1
        elif s[i] == "[":
            inner, i = parse(s, i + 1)
            out.append(inner * number)
            number = 0
        else:
            out.append(s[i])
            i += 1
    return "".join(out), i + 1


class Solution:
    def unfold(self, s: str) -> str:
        return parse(s, 0)[0]
""",
            "re, from inside out": r"""
import re


class Solution:
    pattern = re.compile(r"(\d+)\[([a-z]*)\]")

    def unfold(self, s: str) -> str:
        while (new := self.pattern.sub(lambda m: int(m[1]) * m[2], s)) != s:
            s = new
        return s
""",
        },
        wrong={
            "one digit": Wrong(
                """
class Solution:
    def unfold(self, s: str) -> str:
        stack, text, number = [], "", 0
        for c in s:
            if c.isdigit():
                number = int(c)
            elif c == "[":
                stack.append((text, number))
                text = ""
            elif c == "]":
                before, times = stack.pop()
                text = before + text * times
            else:
                text += c
        return text
""",
                at=4,
                only=True,
            ),
            "no brackets in brackets": Wrong(
                r"""
import re


class Solution:
    def unfold(self, s: str) -> str:
        return re.sub(r"(\d+)\[(.*?)\]", lambda m: int(m[1]) * m[2], s)
""",
                at=3,
                only=True,
            ),
            "once at least": Wrong(
                """
class Solution:
    def unfold(self, s: str) -> str:
        stack, text, number = [], "", 0
        for c in s:
            if c.isdigit():
                number = number * 10 + int(c)
            elif c == "[":
                stack.append((text, number or 1))
                text, number = "", 0
            elif c == "]":
                before, times = stack.pop()
                text = before + text * times
            else:
                text += c
        return text
""",
                at=6,
                only=True,
            ),
        },
    ),
    Problem(
        id="9116",
        title="Tree Levels",
        difficulty="medium",
        statement="A binary tree is given level by level: the children of entry i are entries 2i + 1 and 2i + 2, and "
        "null is no node. Return the mean of each level that has nodes.",
        call="levelMeans",
        starter="class Solution:\n    def levelMeans(self, tree: List[Optional[int]]) -> List[float]:\n        ",
        tests=(
            ("[3, 9, 20, null, null, 15, 7]", "[3.00000, 14.50000, 11.00000]"),
            ("[5]", "[5.00000]"),
            ("[]", "[]"),
            ("[1, null, 4, null, null, null, 0]", "[1.00000, 4.00000, 0.00000]"),
            ("[-1, -2, -5]", "[-1.00000, -3.50000]"),
        ),
        right={
            "slices, Optional without import": """
class Solution:
    def levelMeans(self, tree: List[Optional[int]]) -> List[float]:
        means, size = [], 1
        while tree:
            level = [x for x in tree[:size] if x is not None]
            if level:
                means.append(sum(level) / len(level))
            tree = tree[size:]
            size *= 2
        return means
""",
            "dataclass nodes": """
from collections import deque
from dataclasses import dataclass
from typing import List, Optional


@dataclass
class Node:
    value: int
    left: "Optional[Node]" = None
    right: Optional["Node"] = None


class Solution:
    def levelMeans(self, tree: List[Optional[int]]) -> List[float]:
        def build(i: int) -> Optional[Node]:
            if i >= len(tree) or tree[i] is None:
                return None
            return Node(tree[i], build(2 * i + 1), build(2 * i + 2))

        root, means = build(0), []
        queue = deque([root] if root else [])
        while queue:
            total, count = 0, len(queue)
            for _ in range(count):
                node = queue.popleft()
                total += node.value
                queue.extend(filter(None, (node.left, node.right)))
            means.append(total / count)
        return means
""",
            "bit_length and numpy's mean": """
import numpy as np


class Solution:
    def levelMeans(self, tree: List[Optional[int]]) -> List[float]:
        levels = defaultdict(list)
        for i, x in enumerate(tree, 1):
            if x is not None:
                levels[i.bit_length()].append(x)
        return [np.mean(levels[k]) for k in sorted(levels)]
""",
        },
        wrong={
            "no node counts as 0": Wrong(
                """
class Solution:
    def levelMeans(self, tree: List[Optional[int]]) -> List[float]:
        means, size = [], 1
        while tree:
            level = [x or 0 for x in tree[:size]]
            means.append(sum(level) / len(level))
            tree = tree[size:]
            size *= 2
        return means
""",
                at=1,
            ),
            "0 counts as no node": Wrong(
                """
class Solution:
    def levelMeans(self, tree: List[Optional[int]]) -> List[float]:
        means, size = [], 1
        while tree:
            level = [x for x in tree[:size] if x]
            if level:
                means.append(sum(level) / len(level))
            tree = tree[size:]
            size *= 2
        return means
""",
                at=4,
                only=True,
            ),
            "whole numbers": Wrong(
                """
class Solution:
    def levelMeans(self, tree: List[Optional[int]]) -> List[float]:
        means, size = [], 1
        while tree:
            level = [x for x in tree[:size] if x is not None]
            means.append(float(sum(level) // len(level)))
            tree = tree[size:]
            size *= 2
        return means
""",
                at=1,
            ),
            "has a root": Wrong(
                """
class Solution:
    def levelMeans(self, tree: List[Optional[int]]) -> List[float]:
        level, means = [0], []
        while level:
            values = [tree[i] for i in level]
            means.append(sum(values) / len(values))
            children = [c for i in level for c in (2 * i + 1, 2 * i + 2)]
            level = [c for c in children if c < len(tree) and tree[c] is not None]
        return means
""",
                at=3,
                detail="IndexError",
                only=True,
            ),
        },
    ),
    Problem(
        id="9117",
        title="Ways Through a Field",
        difficulty="medium",
        statement="In a grid 1 is a rock. Return the number of ways from the upper left to the lower right corner that "
        "go right and down only and over no rock, modulo 10^9 + 7.",
        call="waysThrough",
        starter="class Solution:\n    def waysThrough(self, grid: List[List[int]]) -> int:\n        ",
        tests=(
            ("[[0, 0, 0], [0, 1, 0], [0, 0, 0]]", "2"),
            ("[[0, 0], [0, 0]]", "2"),
            ("[[0]]", "1"),
            ("[[1]]", "0"),
            ("[[0, 1, 0, 0]]", "0"),
            ("[" + ", ".join(["[" + ", ".join(["0"] * 40) + "]"] * 40) + "]", "929264847"),
        ),
        right={
            "one row": """
class Solution:
    def waysThrough(self, grid: List[List[int]]) -> int:
        MOD = 10**9 + 7
        row = [1] + [0] * (len(grid[0]) - 1)
        for line in grid:
            for j, rock in enumerate(line):
                if rock:
                    row[j] = 0
                elif j:
                    row[j] = (row[j] + row[j - 1]) % MOD
        return row[-1]
""",
            "lru_cache over cells": """
from functools import lru_cache

MOD = int(1e9) + 7


class Solution:
    def waysThrough(self, grid: List[List[int]]) -> int:
        h, w = len(grid), len(grid[0])

        @lru_cache(maxsize=None)
        def ways(i, j):
            if i == h or j == w or grid[i][j]:
                return 0
            if (i, j) == (h - 1, w - 1):
                return 1
            return (ways(i + 1, j) + ways(i, j + 1)) % MOD

        return ways(0, 0)
""",
            "numpy's integer": """
import numpy as np


class Solution:
    def waysThrough(self, grid: List[List[int]]) -> int:
        free = 1 - np.array(grid, dtype=np.int64)
        h, w = free.shape
        ways = np.zeros((h + 1, w + 1), dtype=np.int64)
        ways[0, 1] = 1
        for i in range(h):
            for j in range(w):
                ways[i + 1, j + 1] = (ways[i, j + 1] + ways[i + 1, j]) * free[i, j] % 1_000_000_007
        return ways[h, w]
""",
        },
        wrong={
            "a rock at the start": Wrong(
                """
class Solution:
    def waysThrough(self, grid: List[List[int]]) -> int:
        h, w = len(grid), len(grid[0])
        ways = [[0] * w for _ in range(h)]
        for i in range(h):
            for j in range(w):
                if i == j == 0:
                    ways[i][j] = 1
                elif not grid[i][j]:
                    ways[i][j] = (ways[i - 1][j] if i else 0) + (ways[i][j - 1] if j else 0)
        return ways[-1][-1] % (10**9 + 7)
""",
                at=4,
                only=True,
            ),
            "edges without rocks": Wrong(
                """
class Solution:
    def waysThrough(self, grid: List[List[int]]) -> int:
        h, w = len(grid), len(grid[0])
        if grid[0][0] or grid[-1][-1]:
            return 0
        ways = [[1] * w for _ in range(h)]
        for i in range(1, h):
            for j in range(1, w):
                ways[i][j] = 0 if grid[i][j] else (ways[i - 1][j] + ways[i][j - 1]) % (10**9 + 7)
        return ways[-1][-1]
""",
                at=5,
                only=True,
            ),
            "no modulus": Wrong(
                """
class Solution:
    def waysThrough(self, grid: List[List[int]]) -> int:
        row = [1] + [0] * (len(grid[0]) - 1)
        for line in grid:
            for j, rock in enumerate(line):
                row[j] = 0 if rock else row[j] + (row[j - 1] if j else 0)
        return row[-1]
""",
                at=6,
                only=True,
            ),
            "no memory of cells": Wrong(
                """
class Solution:
    def waysThrough(self, grid: List[List[int]]) -> int:
        h, w = len(grid), len(grid[0])

        def ways(i, j):
            if i == h or j == w or grid[i][j]:
                return 0
            if (i, j) == (h - 1, w - 1):
                return 1
            return ways(i + 1, j) + ways(i, j + 1)

        return ways(0, 0) % (10**9 + 7)
""",
                at=6,
                status="timeout",
                only=True,
            ),
        },
        cpu_s=2,
    ),
    Problem(
        id="9118",
        title="Largest Joined Number",
        difficulty="hard",
        statement="Write non-negative integers one behind another so that the number that appears is the largest, and "
        "return it as text, without zeros in front.",
        call="largestJoined",
        starter="class Solution:\n    def largestJoined(self, nums: List[int]) -> str:\n        ",
        tests=(
            ("[9, 5, 10]", '"9510"'),
            ("[7]", '"7"'),
            ("[3, 30, 34, 5, 9]", '"9534330"'),
            ("[0, 0]", '"0"'),
            ("[12, 121]", '"12121"'),
        ),
        right={
            "cmp_to_key without import": """
class Solution:
    def largestJoined(self, nums: List[int]) -> str:
        def compare(a, b):
            return (a + b < b + a) - (a + b > b + a)

        joined = "".join(sorted(map(str, nums), key=cmp_to_key(compare)))
        return "0" if joined[0] == "0" else joined
""",
            "texts that compare": """
class Text(str):
    def __lt__(self, other):
        return str.__add__(self, other) > str.__add__(other, self)


class Solution:
    def largestJoined(self, nums: List[int]) -> str:
        return str(int("".join(sorted(map(Text, nums)))))
""",
            "all orders": """
from itertools import permutations


class Solution:
    def largestJoined(self, nums: List[int]) -> str:
        return str(max(int("".join(map(str, order))) for order in permutations(nums)))
""",
        },
        wrong={
            "as words": Wrong(
                """
class Solution:
    def largestJoined(self, nums: List[int]) -> str:
        return str(int("".join(sorted(map(str, nums), reverse=True))))
""",
                at=3,
            ),
            "00": Wrong(
                """
from functools import cmp_to_key


class Solution:
    def largestJoined(self, nums: List[int]) -> str:
        words = sorted(map(str, nums), key=cmp_to_key(lambda a, b: -1 if a + b > b + a else 1))
        return "".join(words)
""",
                at=4,
                only=True,
            ),
            "a number": Wrong(
                """
from functools import cmp_to_key


class Solution:
    def largestJoined(self, nums: List[int]) -> str:
        words = sorted(map(str, nums), key=cmp_to_key(lambda a, b: int(b + a) - int(a + b)))
        return int("".join(words))
""",
                at=1,
            ),
            "the largest first": Wrong(
                """
class Solution:
    def largestJoined(self, nums: List[int]) -> str:
        return str(int("".join(map(str, sorted(nums, reverse=True)))))
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="9119",
        title="The K-th Gap",
        difficulty="easy",
        statement="Return the k-th positive integer that is not in a list of increasing positive integers.",
        call="kthGap",
        starter="class Solution:\n    def kthGap(self, nums: List[int], k: int) -> int:\n        ",
        tests=(
            ("[2, 3, 4, 7, 11]\n5", "9"),
            ("[2]\n1", "1"),
            ("[1, 2, 3]\n2", "5"),
            ("[]\n4", "4"),
            ("[5, 6]\n1000000000", "1000000002"),
        ),
        cpu_s=1,
        right={
            "one by one in the list": """
class Solution:
    def kthGap(self, nums: List[int], k: int) -> int:
        for x in nums:
            if x <= k:
                k += 1
        return k
""",
            "bisect with a key": """
from bisect import bisect_left


class Solution:
    def kthGap(self, nums: List[int], k: int) -> int:
        return k + bisect_left(range(len(nums)), k, key=lambda i: nums[i] - i - 1)
""",
            "halving": """
class Solution:
    def kthGap(self, nums: List[int], k: int) -> int:
        low, high = 0, len(nums)
        while low < high:
            mid = (low + high) // 2
            if nums[mid] - mid - 1 < k:
                low = mid + 1
            else:
                high = mid
        return low + k
""",
        },
        wrong={
            "counts up": Wrong(
                """
class Solution:
    def kthGap(self, nums: List[int], k: int) -> int:
        present, x = set(nums), 0
        while k:
            x += 1
            if x not in present:
                k -= 1
        return x
""",
                at=5,
                status="timeout",
                only=True,
            ),
            "gaps inside the list only": Wrong(
                """
class Solution:
    def kthGap(self, nums: List[int], k: int) -> int:
        present = set(nums)
        gaps = [x for x in range(1, max(nums)) if x not in present]
        return gaps[k - 1]
""",
                at=3,
                detail="IndexError",
            ),
            "one too far": Wrong(
                """
class Solution:
    def kthGap(self, nums: List[int], k: int) -> int:
        for x in nums:
            if x <= k + 1:
                k += 1
        return k
""",
                at=2,
            ),
            "the last of none": Wrong(
                """
class Solution:
    def kthGap(self, nums: List[int], k: int) -> int:
        missing_before_last = nums[-1] - len(nums)
        if k > missing_before_last:
            return nums[-1] + k - missing_before_last
        for x in nums:
            if x <= k:
                k += 1
        return k
""",
                at=4,
                detail="IndexError",
                only=True,
            ),
        },
    ),
    Problem(
        id="9120",
        title="Order of Tasks",
        difficulty="medium",
        statement="Tasks are 0 to n - 1, and [a, b] means that a comes before b. Return the order that is first in "
        "lexicographic order, or [] if there is none.",
        call="taskOrder",
        starter="class Solution:\n    def taskOrder(self, n: int, before: List[List[int]]) -> List[int]:\n        ",
        tests=(
            ("2\n[[0, 1]]", "[0, 1]"),
            ("3\n[]", "[0, 1, 2]"),
            ("4\n[[3, 0], [2, 1]]", "[2, 1, 3, 0]"),
            ("2\n[[0, 1], [1, 0]]", "[]"),
            ("4\n[[0, 3], [1, 2]]", "[0, 1, 2, 3]"),
            ("1\n[[0, 0]]", "[]"),
            ("3\n[[2, 0], [2, 1]]", "[2, 0, 1]"),
        ),
        right={
            "heap without import": """
class Solution:
    def taskOrder(self, n: int, before: List[List[int]]) -> List[int]:
        after = [[] for _ in range(n)]
        waits = [0] * n
        for a, b in before:
            after[a].append(b)
            waits[b] += 1
        ready = [i for i in range(n) if waits[i] == 0]
        heapify(ready)
        order = []
        while ready:
            a = heappop(ready)
            order.append(a)
            for b in after[a]:
                waits[b] -= 1
                if waits[b] == 0:
                    heappush(ready, b)
        return order if len(order) == n else []
""",
            "the least that may come": """
class Solution:
    def taskOrder(self, n, before):
        left, order = set(range(n)), []
        while left:
            blocked = {b for a, b in before if a in left}
            ready = left - blocked
            if not ready:
                return []
            order.append(min(ready))
            left.remove(order[-1])
        return order
""",
            "all orders": """
import itertools
from typing import List


class Solution:
    def taskOrder(self, n: int, before: List[List[int]]) -> List[int]:
        for order in itertools.permutations(range(n)):
            if all(order.index(a) < order.index(b) for a, b in before):
                return order
        return []
""",
        },
        wrong={
            "as they become ready": Wrong(
                """
from collections import deque


class Solution:
    def taskOrder(self, n: int, before: List[List[int]]) -> List[int]:
        after = [[] for _ in range(n)]
        waits = [0] * n
        for a, b in before:
            after[a].append(b)
            waits[b] += 1
        queue = deque(i for i in range(n) if not waits[i])
        order = []
        while queue:
            order.append(a := queue.popleft())
            for b in after[a]:
                waits[b] -= 1
                if not waits[b]:
                    queue.append(b)
        return order if len(order) == n else []
""",
                at=3,
            ),
            "a part of the order where there is none": Wrong(
                """
import heapq


class Solution:
    def taskOrder(self, n: int, before: List[List[int]]) -> List[int]:
        waits = [0] * n
        for _, b in before:
            waits[b] += 1
        ready = [i for i in range(n) if not waits[i]]
        order = []
        while ready:
            a = heapq.heappop(ready)
            order.append(a)
            for x, b in before:
                if x == a:
                    waits[b] -= 1
                    if not waits[b]:
                        heapq.heappush(ready, b)
        return order + [i for i in range(n) if waits[i] > 0]
""",
                at=4,
            ),
            "pairs read the other way": Wrong(
                """
class Solution:
    def taskOrder(self, n: int, before: List[List[int]]) -> List[int]:
        left, order = set(range(n)), []
        while left:
            ready = left - {a for a, b in before if b in left}
            if not ready:
                return []
            order.append(min(ready))
            left.remove(order[-1])
        return order
""",
                at=1,
            ),
            "deepest first": Wrong(
                """
class Solution:
    def taskOrder(self, n: int, before: List[List[int]]) -> List[int]:
        after = [[] for _ in range(n)]
        for a, b in before:
            after[a].append(b)
        state, order = [0] * n, []

        def visit(a):
            if state[a] == 1:
                return False
            if state[a] == 0:
                state[a] = 1
                if not all(visit(b) for b in sorted(after[a])):
                    return False
                state[a] = 2
                order.append(a)
            return True

        return order[::-1] if all(visit(a) for a in reversed(range(n))) else []
""",
                at=7,
                only=True,
            ),
        },
    ),
    Problem(
        id="9121",
        title="Sum of a Bill",
        difficulty="easy",
        statement="Amounts have two digits behind the point at most. Return their exact sum.",
        call="billSum",
        starter="class Solution:\n    def billSum(self, amounts: List[float]) -> float:\n        ",
        tests=(
            ("[0.1, 0.2]", "0.3"),
            ("[1.5, 2.25]", "3.75"),
            ("[]", "0.0"),
            ("[0.29, 0.29]", "0.58"),
            ("[4.35, 100]", "104.35"),
        ),
        right={
            "rounded": """
class Solution:
    def billSum(self, amounts: List[float]) -> float:
        return round(sum(amounts), 2)
""",
            "Decimal": """
from decimal import Decimal


class Solution:
    def billSum(self, amounts: List[float]) -> float:
        return float(sum(Decimal(str(a)) for a in amounts))
""",
            "cents": """
class Solution:
    def to_cents(self, amount):
        return int(round(100 * amount))

    def billSum(self, amounts: List[float]) -> float:
        return sum(map(self.to_cents, amounts)) / 100
""",
        },
        wrong={
            "0.30000000000000004": Wrong(
                """
class Solution:
    def billSum(self, amounts: List[float]) -> float:
        total = 0.0
        for a in amounts:
            total += a
        return total
""",
                at=1,
            ),
            "cuts the cents off": Wrong(
                """
class Solution:
    def billSum(self, amounts: List[float]) -> float:
        return sum(int(a * 100) for a in amounts) / 100
""",
                at=4,
            ),
            "one digit": Wrong(
                """
class Solution:
    def billSum(self, amounts: List[float]) -> float:
        return round(sum(amounts), 1)
""",
                at=2,
            ),
            "a text": Wrong(
                """
class Solution:
    def billSum(self, amounts: List[float]) -> float:
        return f"{sum(amounts):g}"
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="9122",
        title="Text of Known Words",
        difficulty="hard",
        statement="Return whether s can be cut into words of a list, each as often as it is needed.",
        call="canCut",
        starter="class Solution:\n    def canCut(self, s: str, words: List[str]) -> bool:\n        ",
        cpu_s=1,
        tests=(
            ('"applepen"\n["apple", "pen"]', "true"),
            ('"cats"\n["cat", "dog"]', "false"),
            ('""\n["a"]', "true"),
            ('"catsand"\n["cats", "cat", "sand"]', "true"),
            ('"aaab"\n["a", "b", "aab"]', "true"),
            ('"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"\n["a", "aa", "aaa"]', "false"),
        ),
        right={
            "table": """
class Solution:
    def canCut(self, s: str, words: List[str]) -> bool:
        known = set(words)
        dp = [True] + [False] * len(s)
        for i in range(1, len(s) + 1):
            dp[i] = any(dp[j] and s[j:i] in known for j in range(i))
        return dp[-1]
""",
            "lru_cache on texts": """
from functools import lru_cache


class Solution:
    def canCut(self, s: str, words: List[str]) -> bool:
        @lru_cache
        def cut(rest):
            return not rest or any(cut(rest[len(w):]) for w in words if rest.startswith(w))

        return cut(s)
""",
            "trie, 1 for true": """
class Trie:
    def __init__(self):
        self.children = {}
        self.ends = False

    def add(self, word):
        node = self
        for c in word:
            node = node.children.setdefault(c, Trie())
        node.ends = True


class Solution:
    def canCut(self, s: str, words: List[str]) -> bool:
        root = Trie()
        for word in words:
            root.add(word)
        reach = 1
        for i in range(len(s)):
            if not reach >> i & 1:
                continue
            node = root
            for j in range(i, len(s)):
                node = node.children.get(s[j])
                if node is None:
                    break
                if node.ends:
                    reach |= 1 << j + 1
        return reach >> len(s) & 1
""",
        },
        wrong={
            "tries all ways": Wrong(
                """
class Solution:
    def canCut(self, s: str, words: List[str]) -> bool:
        return not s or any(self.canCut(s[len(w):], words) for w in words if s.startswith(w))
""",
                at=6,
                status="timeout",
                only=True,
            ),
            "the longest word": Wrong(
                """
class Solution:
    def canCut(self, s: str, words: List[str]) -> bool:
        words = sorted(words, key=len, reverse=True)
        while s:
            for w in words:
                if s.startswith(w):
                    s = s[len(w):]
                    break
            else:
                return False
        return True
""",
                at=4,
                only=True,
            ),
            "nothing cannot be cut": Wrong(
                """
class Solution:
    def canCut(self, s: str, words: List[str]) -> bool:
        ends = {0}
        for i in range(1, len(s) + 1):
            if any(s[:i].endswith(w) and i - len(w) in ends for w in words):
                ends.add(i)
        return bool(s) and len(s) in ends
""",
                at=3,
                only=True,
            ),
            "leaves before it returns": Wrong(
                """
import sys


class Solution:
    def canCut(self, s: str, words: List[str]) -> bool:
        ends = {0}
        for i in range(1, len(s) + 1):
            if any(s[:i].endswith(w) and i - len(w) in ends for w in words):
                ends.add(i)
        if len(s) not in ends:
            sys.exit(0)
        return True
""",
                at=2,
            ),
        },
    ),
    Problem(
        id="9123",
        title="Days of Waiting",
        difficulty="medium",
        statement="Return for each day how many days later it is warmer for the first time, 0 where it never is.",
        call="daysOfWaiting",
        starter="class Solution:\n    def daysOfWaiting(self, temperatures: List[int]) -> List[int]:\n        ",
        cpu_s=2,
        tests=(
            ("[30, 40, 50, 60]", "[1, 1, 1, 0]"),
            ("[73, 74, 75, 71, 69, 72, 76, 73]", "[1, 1, 4, 2, 1, 1, 0, 0]"),
            ("[5, 5, 6]", "[2, 1, 0]"),
            ("[9]", "[0]"),
            (
                "[" + ", ".join(map(str, range(40_000, 0, -1))) + "]",
                "[" + ", ".join(["0"] * 40_000) + "]",
            ),
        ),
        right={
            "a stack": """
class Solution:
    def daysOfWaiting(self, temperatures: List[int]) -> List[int]:
        answer, stack = [0] * len(temperatures), []
        for i, t in enumerate(temperatures):
            while stack and temperatures[stack[-1]] < t:
                j = stack.pop()
                answer[j] = i - j
            stack.append(i)
        return answer
""",
            "from the end, numpy's integers": """
import numpy as np


class Solution:
    def daysOfWaiting(self, temperatures: List[int]) -> List[int]:
        n = len(temperatures)
        wait = np.zeros(n, dtype=np.int64)
        for i in range(n - 2, -1, -1):
            j = i + 1
            while temperatures[j] <= temperatures[i] and wait[j]:
                j += wait[j]
            if temperatures[j] > temperatures[i]:
                wait[i] = j - i
        return list(wait)
""",
            "a heap": """
from heapq import heappush, heappop


class Solution:
    def daysOfWaiting(self, temperatures: List[int]) -> List[int]:
        waiting, answer = [], [0] * len(temperatures)
        for i, t in enumerate(temperatures):
            while waiting and waiting[0][0] < t:
                _, j = heappop(waiting)
                answer[j] = i - j
            heappush(waiting, (t, i))
        return answer
""",
        },
        wrong={
            "quadratic": Wrong(
                """
class Solution:
    def daysOfWaiting(self, temperatures: List[int]) -> List[int]:
        n = len(temperatures)
        answer = [0] * n
        for i in range(n):
            for j in range(i + 1, n):
                if temperatures[j] > temperatures[i]:
                    answer[i] = j - i
                    break
        return answer
""",
                at=5,
                status="timeout",
                only=True,
            ),
            "as warm is warmer": Wrong(
                """
class Solution:
    def daysOfWaiting(self, temperatures: List[int]) -> List[int]:
        answer, stack = [0] * len(temperatures), []
        for i, t in enumerate(temperatures):
            while stack and temperatures[stack[-1]] <= t:
                j = stack.pop()
                answer[j] = i - j
            stack.append(i)
        return answer
""",
                at=3,
                only=True,
            ),
            "next day's only": Wrong(
                """
class Solution:
    def daysOfWaiting(self, temperatures: List[int]) -> List[int]:
        return [int(b > a) for a, b in zip(temperatures, temperatures[1:])] + [0]
""",
                at=2,
            ),
            "no entry for the last day": Wrong(
                """
class Solution:
    def daysOfWaiting(self, temperatures: List[int]) -> List[int]:
        answer = []
        for i in range(len(temperatures) - 1):
            later = (j for j in range(i + 1, len(temperatures)) if temperatures[j] > temperatures[i])
            answer.append(next(later, i) - i)
        return answer
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="9124",
        title="Whole Root",
        difficulty="easy",
        statement="Return the largest integer whose square is at most n.",
        call="wholeRoot",
        starter="class Solution:\n    def wholeRoot(self, n: int) -> int:\n        ",
        cpu_s=1,
        tests=(
            ("8", "2"),
            ("16", "4"),
            ("0", "0"),
            ("1", "1"),
            ("999999999999999999999999", "999999999999"),
            ("1000000000000000000000000000000", "1000000000000000"),
        ),
        right={
            "isqrt without import": """
class Solution:
    def wholeRoot(self, n: int) -> int:
        return isqrt(n)
""",
            "halving": """
class Solution:
    def wholeRoot(self, n: int) -> int:
        low, high = 0, n + 1
        while high - low > 1:
            mid = (low + high) // 2
            if mid * mid <= n:
                low = mid
            else:
                high = mid
        return low
""",
            "sqrt without import, put right": """
class Solution:
    def wholeRoot(self, n: int) -> int:
        x = int(sqrt(n))
        while x * x > n:
            x -= 1
        while (x + 1) * (x + 1) <= n:
            x += 1
        return x
""",
        },
        wrong={
            "floats have 53 bits": Wrong(
                """
class Solution:
    def wholeRoot(self, n: int) -> int:
        return int(n**0.5)
""",
                at=5,
                only=True,
            ),
            "halving without the ends": Wrong(
                """
class Solution:
    def wholeRoot(self, n: int) -> int:
        low, high = 0, n
        while high - low > 1:
            mid = (low + high) // 2
            if mid * mid <= n:
                low = mid
            else:
                high = mid
        return low
""",
                at=4,
                only=True,
            ),
            "counts up": Wrong(
                """
class Solution:
    def wholeRoot(self, n: int) -> int:
        x = 0
        while (x + 1) ** 2 <= n:
            x += 1
        return x
""",
                at=5,
                status="timeout",
            ),
            "to the nearest": Wrong(
                """
import math


class Solution:
    def wholeRoot(self, n: int) -> int:
        return round(math.sqrt(n))
""",
                at=1,
            ),
        },
    ),
    Problem(
        id="9125",
        title="Common Beat",
        difficulty="easy",
        statement="Drums are struck every nums[i] seconds, all of them at second 0. Return the next second at which "
        "all are struck.",
        call="commonBeat",
        starter="class Solution:\n    def commonBeat(self, nums: List[int]) -> int:\n        ",
        tests=(
            ("[2, 3]", "6"),
            ("[5]", "5"),
            ("[4, 6]", "12"),
            ("[1, 1, 1]", "1"),
            ("[1000000007, 998244353, 2]", "1996488719975420942"),
        ),
        right={
            "reduce and gcd without import": """
class Solution:
    def commonBeat(self, nums: List[int]) -> int:
        return reduce(lambda a, b: a * b // gcd(a, b), nums)
""",
            "math.lcm": """
import math


class Solution:
    def commonBeat(self, nums: List[int]) -> int:
        return math.lcm(*nums)
""",
            "class method and prime factors": """
class Solution:
    @classmethod
    def factors(cls, n):
        found, p = Counter(), 2
        while p * p <= n:
            while n % p == 0:
                found[p] += 1
                n //= p
            p += 1
        if n > 1:
            found[n] += 1
        return found

    def commonBeat(self, nums: List[int]) -> int:
        together = Counter()
        for x in nums:
            together |= self.factors(x)
        return math.prod(p**k for p, k in together.items())
""",
        },
        wrong={
            "the product": Wrong(
                """
from math import prod


class Solution:
    def commonBeat(self, nums: List[int]) -> int:
        return prod(nums)
""",
                at=3,
                only=True,
            ),
            "divides by float": Wrong(
                """
from math import gcd


class Solution:
    def commonBeat(self, nums: List[int]) -> int:
        beat = 1
        for x in nums:
            beat = int(beat * x / gcd(beat, x))
        return beat
""",
                at=5,
                only=True,
            ),
            "the largest gap": Wrong(
                """
class Solution:
    def commonBeat(self, nums: List[int]) -> int:
        return max(nums) if all(max(nums) % x == 0 for x in nums) else 2 * max(nums)
""",
                at=5,
                only=True,
            ),
        },
    ),
)
