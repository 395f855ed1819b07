"""Every spelling of Liberty text that other readers take, and that what is written is read back as the same tree."""

import gzip
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstick.errors import UserError
from slipstick.flow import yosys
from slipstick.flow.library.liberty import DEFAULT_LIBERTY, load_liberty, parse_liberty, read_text
from slipstick.flow.library.merge import merge
from slipstick.flow.library.slim import slim
from slipstick.flow.library.syntax import CONTINUED, Attribute, Group, header, read, read_plain, write, write_plain

SPELLINGS = {
    "line comments": lambda t: t.replace("cell (", "// it's a \"cell\" /*\n  cell ("),
    "comments behind statements": lambda t: t.replace("direction : input;", "direction : input; // { in }\n"),
    "hash comments": lambda t: "# made by hand {\n" + t.replace("cell (", "\n  # a 'cell'\n cell ("),
    "byte order mark": lambda t: "\ufeff" + t,
    "comment marks in a string": lambda t: t.replace("cell (", 'comment : "no /* comment // # here"; cell ('),
    "quotes in a comment": lambda t: t.replace("cell (", '/* 2" wafers */ cell ('),
    "carriage returns": lambda t: t.replace("\n", "\r\n"),
    "continued values": lambda t: t.replace('values ("', 'values ( \\\n  "').replace('", "', '", \\\n  "'),
    "continued with carriage returns": lambda t: t.replace('", "', '", \\\r\n  "'),
    "a continued string": lambda t: t.replace('"0.1, 0.2"', '"0.1, \\\n 0.2"'),
    "a string over lines": lambda t: t.replace('"0.1, 0.2"', '"0.1,\n 0.2"'),
    "tabs": lambda t: t.replace(" : ", "\t:\t").replace(" {", "\t{"),
    "no blanks": lambda t: t.replace(" : ", ":").replace(" (", "(").replace("; ", ";"),
    "no semicolons at the ends of lines": lambda t: t.replace(";\n", "\n"),
    "no semicolons after strings": lambda t: t.replace('";', '" '),
    "no semicolons after brackets": lambda t: t.replace(");", ")"),
    "no semicolon before an attribute": lambda t: t.replace("direction : input; ", "direction : input "),
    "semicolons after groups": lambda t: t.replace("}", "};"),
    "quoted numbers": lambda t: t.replace("area : 2.5;", 'area : "2.5";'),
    "quoted words": lambda t: t.replace("direction : input;", 'direction : "input";'),
    "unquoted words": lambda t: t.replace('related_pin : "A"', "related_pin : A"),
    "defined attributes": lambda t: t.replace("cell (", "define (mine, cell, float);\n cell (", 1).replace(
        "area : 2.5;", "area : 2.5; mine : 3;"
    ),
    "expressions of voltages": lambda t: t.replace(
        "cell (", "input_voltage (cmos) { vil : 0.3 * VDD ; vimax : VDD + 0.5 }\n cell (", 1
    ),
    "an escaped quote": lambda t: t.replace("cell (", 'comment : "5\\" wafers; {"; cell (', 1),
}  # fmt: skip


@pytest.mark.parametrize("how", SPELLINGS)
def test_every_spelling_is_the_same_library(toy_text, how):
    text = SPELLINGS[how](toy_text())
    assert text != toy_text()
    found, plain = parse_liberty(text), parse_liberty(toy_text())
    assert found.cells == plain.cells and not found.left_out
    assert parse_liberty(found.text).cells == plain.cells


@pytest.mark.parametrize("how", SPELLINGS)
def test_tools_get_a_spelling_that_all_of_them_read(toy_text, how, tmp_path):
    (tmp_path / "library.lib").write_text(parse_liberty(SPELLINGS[how](toy_text())).text)
    done = yosys.run(tmp_path, "read_liberty library.lib\nstat", timeout_s=60)
    assert done.code == 0, done.tail


@pytest.mark.parametrize("encode", [
    lambda t: t.encode("latin-1"), lambda t: t.encode("utf-16"), lambda t: t.encode("utf-8-sig"),
    lambda t: gzip.compress(t.encode("latin-1")), lambda t: gzip.compress(t.encode()),
])  # fmt: skip
@pytest.mark.parametrize("name", ["a.lib", "a.lib.gz", "a.txt"])
def test_a_file_is_known_by_its_content(toy_text, tmp_path, encode, name):
    text = toy_text().replace("a toy", "25 °C, 1 µm")
    (tmp_path / name).write_bytes(encode(text))
    assert load_liberty(tmp_path / name).cells == parse_liberty(toy_text()).cells


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("library (x) {\n area : 1 /* open \n}", "line 2"),
        ('library (x) {\n a : "1;\n}', "line 2, 'a : \"1;"),
        ("library (x) {\n values (1, (2);\n}", "line 2"),
        ('library (x) {\n a : "1, \\\n 2";\n ???\n}', "line 4"),
        ("library (x) {\r\n ???\r\n}", "line 2"),
        ("// nothing", "no library group"),
        ("library (x) { } }", "line 1"),
        ("library (x) {\n" + "a (b) {\n" * 3000, "line 50, .*opens too many groups"),
    ],
)
def test_a_fault_is_named_with_its_line(text, problem):
    with pytest.raises(UserError, match=problem):
        read(text, "x")


words = st.text("abcXYZ019_.-", min_size=1, max_size=8)
strings = st.text("aB0 ,;:{}()/*#'!\v-", max_size=12).map(lambda t: f'"{t}"')
plain = st.one_of(words, strings)
attributes = st.one_of(
    st.builds(Attribute, words, plain, st.just(False)),
    st.builds(Attribute, words, st.lists(plain, max_size=3).map(f",{CONTINUED} ".join), st.just(True)),
)
groups = st.recursive(
    st.builds(Group, words, words | strings, st.lists(attributes, max_size=3)),
    lambda inner: st.builds(Group, words, words | strings, st.lists(st.one_of(attributes, inner), max_size=4)),
    max_leaves=6,
)


@given(groups)
def test_what_is_written_is_read_back_equal_and_can_be_made_plain(group):
    library = Group("library", "x", [group])
    found, is_plain = read_plain(write(library), "again")
    assert found == library and is_plain == (write(library) == write_plain(library))
    assert read_plain(write_plain(library), "again")[1]


@pytest.mark.parametrize("how", SPELLINGS)
def test_writing_any_spelling_keeps_its_tree(toy_text, how):
    tree = read(SPELLINGS[how](toy_text()), "toy")
    assert read(write(tree), "again") == tree


def test_comments_before_the_library_stay(toy_text):
    assert header("/* one */ // two\n# three */\n\n library (x) {}") == "/* one */\n/* two */\n/* three * / */\n"
    licensed = "// Licence: free\n" + toy_text()
    for text in (slim(licensed), merge([("a.lib", licensed)])):
        assert text.startswith("/* Licence: free */\n/* a toy */\n")


def test_damaged_text_is_read_or_refused_in_one_line_and_never_written_as_something_else(toy_text):
    rng, whole = random.Random(0), toy_text()
    outcomes = set()
    for _ in range(250):
        text = whole
        for _ in range(rng.choice((1, 2, 6))):
            start = rng.randrange(len(text))
            piece = rng.choice((text[start : start + rng.randrange(40)], *'{}();:"\\/*#\n,! 0'))
            text = text[:start] + rng.choice((piece, "")) + text[start + rng.choice((0, 1, 20)) :]
        try:
            tree = read(text, "toy")
            assert read(write(tree), "again") == tree
            slim(text)
            outcomes.add("read")
        except UserError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


STRANGE = {
    **SPELLINGS,
    "a continued string in a cell": lambda t: t.replace("area : 2.5;", 'area : 2.5; table : "H L : - ,\\\n L H : - ";'),
}


@pytest.fixture
def halves(toy_text):
    """The toy library in two files, one of them in any spelling."""

    def cut(spell):
        library = read(spell(toy_text()), "toy")
        cells = [item for item in library.items if isinstance(item, Group) and item.kind == "cell"]
        others = [item for item in library.items if item not in cells]
        first = write(Group("library", "toy", [*others, *cells[:2]]))
        rest = [one for one in read(toy_text(), "toy").groups("cell") if one.name in {c.name for c in cells[:2]}]
        assert len(rest) == 2
        second = spell(toy_text())
        for one in cells[:2]:
            second, count = re.subn(rf"\bcell\s*\(\s*{one.arguments}\s*\)", f"ignored ({one.arguments})", second)
            assert count == 1
        return [("one.lib", first), ("two.lib", second)]

    return cut


@pytest.mark.parametrize("how", STRANGE)
def test_merged_libraries_are_read_back_equal_and_by_yosys(halves, toy_text, how, tmp_path):
    text = merge(halves(STRANGE[how]))
    assert parse_liberty(text).cells == parse_liberty(toy_text()).cells
    tree = read(text, "merged")
    assert read(write(tree), "again") == tree
    if how == "an escaped quote":
        return  # Yosys knows none
    (tmp_path / "library.lib").write_text(text)
    done = yosys.run(tmp_path, "read_liberty -ignore_miss_func library.lib\nstat", timeout_s=60)
    assert done.code == 0, done.tail


@pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA (Debian package opensta) is absent")
@pytest.mark.parametrize("how", STRANGE)
def test_merged_and_slimmed_libraries_are_read_by_opensta(halves, how, tmp_path):
    check_by_opensta(merge(halves(STRANGE[how])), tmp_path)
    check_by_opensta(slim(merge(halves(STRANGE[how]))), tmp_path)


def check_by_opensta(text, folder):
    (folder / "library.lib").write_text(text)
    (folder / "run.tcl").write_text("read_liberty library.lib\nputs [llength [get_lib_cells */*]]\n")
    done = subprocess.run(["sta", "-no_splash", "-exit", "run.tcl"], cwd=folder, capture_output=True, text=True)
    log = done.stdout + done.stderr
    assert "rror" not in log and log.strip().endswith(str(len(list(read(text, "x").groups("cell"))))), log


def libraries(shared: Path):
    return [
        DEFAULT_LIBERTY,
        *sorted((shared / "liberty").glob("*.gz")),
        *sorted((shared / "liberty/sram").glob("*x8_*")),
    ]


def test_public_libraries_lose_nothing(shared):
    for path in libraries(shared):
        text = read_text(path)
        tree = read(text, str(path))
        assert read_plain(write(tree), "again") == (tree, True)
        liberty = parse_liberty(text, str(path))
        assert not liberty.left_out and len(liberty.cells) == len(list(tree.groups("cell")))
        if liberty.text == text:
            assert read_plain(text, str(path))[1]


@pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA (Debian package opensta) is absent")
def test_public_libraries_rewritten_are_read_by_opensta(shared, tmp_path):
    for path in libraries(shared):
        check_by_opensta(write(read(read_text(path), str(path))), tmp_path)
