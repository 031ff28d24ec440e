"""The interpreter with its plain moves done many at once by numpy: what reads G-code where there is no C compiler.

Nine lines of ten are plain: G0, G1 or ``G92 E…`` with the words X, Y, Z, E, F as slicers write them. A window of text
is split into these and all others. The others go one by one through interpreter.py; a stretch of plain moves between
two lines that change how moves are read (modes, offsets, arcs, tools) becomes columns of numbers in one go. Comments
and accelerations don't end a stretch, they only mark where a run begins.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import kernel as k
from .arrays import Flags, Floats, Integers
from .interpreter import ARC_STEPS, LIMIT, Interpreter, RunState

WINDOW = 1 << 18
_DIGIT, _DOT, _SIGN, _LETTER, _SPACE, _LINE_END, _COMMENT, _G = range(1, 9)  # classes of characters; 0 is any other
_CHARACTERS = {
    _DIGIT: b"0123456789",
    _DOT: b".",
    _SIGN: b"-",
    _LETTER: b"XYZEF",
    _SPACE: b" \t\r",
    _LINE_END: b"\n",
    _COMMENT: b";",
    _G: b"G",
}
_CLASSES = bytes(next((kind for kind, characters in _CHARACTERS.items() if n in characters), 0) for n in range(256))
# What may follow what in a plain move; a G only begins a line.
_FOLLOWS: dict[int, Collection[int]] = {
    _DIGIT: (_DIGIT, _DOT, _LETTER, _SPACE, _LINE_END),
    _DOT: (_DIGIT, _LETTER, _SPACE, _LINE_END),
    _SIGN: (_DIGIT, _DOT),
    _LETTER: (_DIGIT, _DOT, _SIGN),
    _SPACE: (_LETTER, _SPACE, _LINE_END),
    _G: (_DIGIT,),
    _LINE_END: range(9),
}
_WRONG = bytes(n & 15 not in _FOLLOWS.get(n >> 4, ()) for n in range(256))  # by pairs of classes
_BLANK_LETTERS = bytes.maketrans(b"XYZEF", b"     ")
# All M commands but M82 and M83 either do nothing to moves or are events.
_KEEPS_STRETCH = re.compile(rb";|M(?!0*8[23](?!\d))")
X, Y, Z, E, F = range(5)
BARRIER = 4  # its place in a RunState
FEW = 12  # fewer moves than this are quicker done one by one
_COLUMN = np.zeros(256, np.intp)
_COLUMN[list(b"XYZEF")] = range(5)


class Window:
    """A piece of text by lines: which are plain moves, and their words."""

    def __init__(self, data: bytearray, begin: int, end: int) -> None:
        self.begin, self.end = begin, end
        text = bytes(data[begin:end])
        if text[-1:] != b"\n":
            text += b"\n"
        self.text = text
        codes = np.frombuffer(text.translate(_CLASSES), np.uint8)
        self.ends = np.flatnonzero(codes == _LINE_END)
        self.starts = np.concatenate(([0], self.ends[:-1] + 1))
        plain, head = self._plain_lines(codes)
        self.words, self.is_set = np.empty((5, 0)), np.empty(0, bool)
        if plain.any():
            self._read_words(plain, head)
        self.others = np.flatnonzero(~plain).tolist()
        self.next_other = 0
        self.done = self.at = 0  # number of the next move to be handed over; of the one that is read next
        self.run: RunState | None = None  # of the run that the stretch begins in
        self.marks: list[tuple[int, RunState]] = []  # (move, state of the run that begins with it)

    def _plain_lines(self, codes: NDArray[np.uint8]) -> tuple[Flags, Integers]:
        """(which lines are plain moves, length of their command in characters); blanks comments behind moves."""
        bytes_ = np.frombuffer(self.text, np.uint8)
        blank = self.ends == self.starts
        lines = np.flatnonzero((codes[self.starts] == _G) & (self.ends - self.starts > 4))
        a, b, c = (bytes_[self.starts[lines] + n] for n in (1, 2, 3))
        moves = ((a == 48) | (a == 49)) & (codes[self.starts[lines] + 2] >= _LETTER)  # neither G10 nor G1.1
        sets = (a == 57) & (b == 50) & (c == 32)
        plain = np.zeros(len(self.starts), bool)
        plain[lines] = moves | sets
        plain |= blank  # no words, no move
        head = np.where(blank, 0, 2)
        head[lines[sets]] = 3
        codes = self._without_comments(codes, plain)
        pairs = codes << 4
        pairs[:-1] |= codes[1:]
        wrong = np.frombuffer(pairs.tobytes().translate(_WRONG), np.uint8)
        return plain & (np.maximum.reduceat(wrong, self.starts) == 0), head

    def _without_comments(self, codes: NDArray[np.uint8], plain: Flags) -> NDArray[np.uint8]:
        comments = np.flatnonzero(codes == _COMMENT)
        line = np.searchsorted(self.ends, comments)
        comments, line = comments[plain[line]], line[plain[line]]
        if not len(comments):
            return codes
        line, at = np.unique(line, return_index=True)
        change = np.zeros(len(codes) + 1, np.int8)
        change[comments[at]] = 1
        change[self.ends[line]] -= 1
        comment = np.cumsum(change[:-1], dtype=np.int8).astype(bool)
        self.text = np.where(comment, np.uint8(32), np.frombuffer(self.text, np.uint8)).tobytes()
        return np.where(comment, np.uint8(_SPACE), codes)

    def _read_words(self, plain: Flags, head: Integers) -> None:
        """Fills words (5, moves), NaN where one is missing, and is_set (G92).

        Takes lines out of `plain` that must be read with care, one by one: damaged numbers, those that no machine could
        reach, too long ones, G92 of more than E.
        """
        sizes = self.ends + 1 - self.starts
        bytes_ = np.frombuffer(self.text, np.uint8)[np.repeat(plain, sizes)]
        begins = np.concatenate(([0], np.cumsum(sizes[plain])[:-1]))
        head = head[plain]
        is_set = head == 3
        for place in range(3):
            bytes_[begins[head > place] + place] = 32
        letters = np.flatnonzero(bytes_ > 64)
        numbers = _numbers(bytes_.tobytes().translate(_BLANK_LETTERS))
        move = np.searchsorted(begins, letters, side="right") - 1
        words = np.full((5, len(begins)), np.nan)
        column = _COLUMN[bytes_[letters]]
        words[column, move] = numbers
        bad = is_set & np.isnan(words[E])
        bad[move[~(np.abs(numbers) <= LIMIT) | (np.diff(letters, append=len(bytes_)) > 18)]] = True
        bad[move[is_set[move] & (column != E)]] = True
        if bad.any():
            plain[np.flatnonzero(plain)[bad]] = False
            words, is_set = words[:, ~bad], is_set[~bad]
        self.words, self.is_set = words, is_set


class BulkInterpreter(Interpreter):
    """Like Interpreter, some twenty times faster on what slicers write."""

    def __init__(self, markers: Sequence[k.MarkerRow]) -> None:
        super().__init__(markers)
        self._window: Window | None = None

    def feed(self, data: bytearray, position: int, size: int, last: bool) -> tuple[int, int]:
        """See kernel.Reader."""
        while True:
            if self._window is None:
                end = (
                    data.rfind(b"\n", position, min(position + WINDOW, size)) + 1
                    or data.find(b"\n", position, size) + 1
                )
                if not end and last:
                    end = size
                if end <= position:
                    return k.NEED_DATA, position
                self._window = Window(data, position, end)
            code, position = self._read(self._window)
            if code != k.NEED_DATA:
                return code, position
            self._window = None

    def _read(self, window: Window) -> tuple[int, int]:
        """Continues in the window; NEED_DATA at its end."""
        s = self.state
        others, starts, ends, text = window.others, window.starts, window.ends, window.text
        while True:
            n = window.next_other
            here = others[n] if n < len(others) else len(starts)
            moves, unmarked = here - n, s.layer_marker < 0  # moves: plain ones before this line
            self._note_run(window)
            room = k.MAX_MOVES - ARC_STEPS - 2 - s.n_moves
            if unmarked:  # each move may begin a layer, and so a run
                room = min(room, k.MAX_RUNS - ARC_STEPS - 2 - s.n_runs - len(window.marks))
            if moves - window.done > room:
                self._hand_over(window, window.done + max(room, 0))
                return k.FULL, window.begin + int(starts[window.done + n])
            if here == len(starts):
                self._hand_over(window, moves)
                return k.NEED_DATA, window.end
            start = int(starts[here])
            if s.n_comments >= k.MAX_COMMENTS or s.n_runs + len(window.marks) + ARC_STEPS + 1 >= k.MAX_RUNS:
                self._hand_over(window, moves)
                return k.FULL, window.begin + start
            line = text[start : ends[here]]
            # A comment may be the first mark of a layer, from which on heights make none.
            keeps = not s.relative and _KEEPS_STRETCH.match(line) and not (unmarked and line[:1] == b";")
            if not keeps:
                self._hand_over(window, moves)
            window.next_other, window.at = n + 1, moves
            s.lines += 1
            code = self._line(line, window.begin + start)
            if code:
                if keeps:
                    self._note_run(window)
                    self._hand_over(window, moves)
                return code, min(window.begin + int(ends[here]) + 1, window.end)

    def _note_run(self, window: Window) -> None:
        """Keeps the state of the run that begins at this move, before later lines change it."""
        s = self.state
        if s.relative:
            return
        if window.run is None:
            window.run = self._run_state()
        if s.dirty:
            window.marks.append((window.at, self._run_state()))
            s.dirty = s.barrier = 0

    def _hand_over(self, window: Window, upto: int) -> None:
        """Appends the plain moves up to number `upto` to moves and runs, and ends the stretch."""
        s = self.state
        first, window.done, window.at = window.done, upto, upto
        marks, run, window.marks, window.run = window.marks, window.run, [], None
        words, is_set = window.words[:, first:upto], window.is_set[first:upto]
        s.lines += upto - first
        if s.relative or (upto - first < FEW and all(at == first for at, _ in marks)):
            self._dirty_again(marks)
            for row, sets in zip(words.T.tolist(), is_set.tolist()):
                self._one(row, sets)
            return
        far = np.abs(words[:3] * s.unit - np.array([[s.offset_x], [s.offset_y], [s.offset_z]])) > LIMIT
        if far.any():
            gone = far.any(axis=0)
            s.bad_lines += int(gone.sum())
            words, is_set = np.where(gone, np.nan, words), is_set & ~gone
        x, y, z = (
            _carried(words[column] * s.unit - offset, before)
            for column, offset, before in ((X, s.offset_x, s.x), (Y, s.offset_y, s.y), (Z, s.offset_z, s.z))
        )
        feed = _carried(np.where(words[F] > 0, words[F] * s.unit / 60, np.nan), s.feed)
        de = self._filament(words[E], is_set)
        along = (x[1:] != x[:-1]) | (y[1:] != y[:-1])
        index = np.flatnonzero(along | (z[1:] != z[:-1]) | (de != 0))
        begins = [
            (int(at), state) for at, (_, state) in zip(np.searchsorted(index + first, [at for at, _ in marks]), marks)
        ]
        self._dirty_again([mark for mark in begins if mark[0] == len(index)])
        begins = [mark for mark in begins if mark[0] < len(index)]
        if s.layer_marker < 0:
            assert run is not None  # _note_run() comes before each stretch
            begins = self._layers_by_height(begins, run, z[index + 1], along[index] & (de[index] > 0))
        n = s.n_moves
        self.moves[:, n : n + len(index)] = x[index + 1], y[index + 1], z[index + 1], de[index], feed[index + 1]
        s.n_moves += len(index)
        barrier = 0
        for place, (at, state) in enumerate(begins):
            barrier |= state[BARRIER]
            if place + 1 < len(begins) and begins[place + 1][0] == at:
                continue  # nothing moved in between
            i = index[at]
            self.runs[s.n_runs] = (n + at, *state[:BARRIER], barrier, *state[BARRIER + 1 :], x[i], y[i], z[i], 0)
            s.n_runs += 1
            barrier = 0
        s.x, s.y, s.z, s.feed = float(x[-1]), float(y[-1]), float(z[-1]), float(feed[-1])

    def _filament(self, words: Floats, is_set: Flags) -> Floats:
        """mm of filament of each move; sets the logical position of E."""
        s = self.state
        de = np.zeros(len(words))
        known = np.flatnonzero(~np.isnan(words))
        if len(known):
            e, sets = words[known] * s.unit, is_set[known]
            if s.e_relative:
                steps = np.where(sets, 0.0, e)
                last = np.flatnonzero(sets)[-1] if sets.any() else None
                s.e = float(s.e + steps.sum() if last is None else e[last] + steps[last:].sum())
            else:
                steps = np.where(sets, 0.0, np.diff(e, prepend=s.e))
                s.e = float(e[-1])
            de[known] = steps * s.per_e
        return de

    def _layers_by_height(
        self, begins: list[tuple[int, RunState]], run: RunState, z: Floats, extruding: Flags
    ) -> list[tuple[int, RunState]]:
        """Adds the runs that begin with a layer where the file marks none: extrusion continues at another height."""
        s = self.state
        at = np.flatnonzero(extruding)
        at = at[np.diff(z[at], prepend=np.nan) != 0]
        events: list[tuple[int, int, Any]] = [(number, 0, state) for number, state in begins]
        events += [(number, 1, height) for number, height in zip(at.tolist(), z[at].tolist())]
        events.sort(key=lambda event: event[:2])
        result, layer = [], s.layer
        for number, is_height, what in events:
            if is_height:
                if layer >= 0 and abs(what - s.layer_z) <= 0.03:
                    continue
                layer += 1
                s.layer_z = what
                # A mark at the same move has the barrier and all else; this only adds the layer.
                run = (layer, *(result[-1][1] if result and result[-1][0] == number else run)[1:])
                result.append((number, (*run[:BARRIER], 0, *run[BARRIER + 1 :])))
            else:
                run = (layer, *what[1:])
                result.append((number, run))
        s.layer = layer
        return result

    def _dirty_again(self, marks: list[tuple[int, RunState]]) -> None:
        """These runs have not begun: the next move will begin one with the state as it is now."""
        if marks:
            self.state.dirty = 1
            self.state.barrier |= max(state[BARRIER] for _, state in marks)

    def _one(self, row: list[float], sets: bool) -> None:
        """One plain move."""
        words = {letter: value for letter, value in zip("XYZEF", row) if value == value}
        if sets:
            self.state.e = words["E"] * self.state.unit
        elif not self._move_command(k.LINEAR, words):
            self.state.bad_lines += 1


def _numbers(text: bytes) -> Floats:
    """The numbers of a text, NaN for what is no number (``1.2.3``)."""
    try:
        return np.fromstring(text, sep=" ") if not text.isspace() else np.empty(0)
    except ValueError:
        pass
    numbers = []
    for word in text.split():
        try:
            numbers.append(float(word))
        except ValueError:
            numbers.append(np.nan)
    return np.array(numbers)


def _carried(values: Floats, before: float) -> Floats:
    """`before` and then the values, each NaN replaced by what comes before it."""
    known = ~np.isnan(values)
    place = np.arange(1, len(values) + 1)
    place[~known] = 0
    return np.concatenate(([before], values))[np.concatenate(([0], np.maximum.accumulate(place)))]
