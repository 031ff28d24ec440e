"""Small files: atomic writes, JSON that may not be there, the end of a log."""

from hypothesis import given
from hypothesis import strategies as st

from common import files


@given(
    st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60), max_size=60), st.integers(1, 20)
)
def test_last_lines_are_the_end_of_the_file(tmp_path_factory, lines, count):
    path = tmp_path_factory.mktemp("log") / "x.log"
    path.write_text("".join(line + "\n" for line in lines))
    assert files.last_lines(path, count) == lines[-count:]


def test_last_lines_begin_where_this_start_began(tmp_path):
    path = tmp_path / "x.log"
    path.write_text("before\nafter\n")
    assert files.last_lines(path, since=7) == ["after"]
    assert files.last_lines(path, since=1000) == ["before", "after"]  # rotated meanwhile
    assert files.last_lines(tmp_path / "none") == []


def test_write_is_atomic_and_private(tmp_path):
    files.write(tmp_path / "x", "secret", 0o600)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600 and list(tmp_path.iterdir()) == [tmp_path / "x"]
