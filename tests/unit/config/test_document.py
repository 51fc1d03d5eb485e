"""Reading YAML: where each key stands, includes, and what is refused."""

from itertools import pairwise
from pathlib import Path

import pytest

from routeiq.config.document import Document, dotted, read_document
from routeiq.core.errors import ConfigError
from tests.unit.config.scene import write


def read(path: Path) -> Document:
    """Read with `ours` as the section that must be without fault."""
    return read_document(path, strict="ours")


def test_every_key_knows_its_line(tmp_path: Path) -> None:
    """A key path is shown with the file and line it was written in, or those of its nearest parent."""
    path = write(tmp_path, "# comment\nours:\n  a:\n    - one\n    - {b: 2}\n")
    document = read(path)
    assert document.where(("ours", "a", 1, "b")) == f"{path}:5: ours.a[1].b"
    assert document.where(("ours", "a", 1, "c")) == f"{path}:5: ours.a[1].c"
    assert document.where(("theirs",)) == f"{path}: theirs"


def test_broken_yaml_names_line_and_column(tmp_path: Path) -> None:
    """Text that is not YAML is reported with line and column, without quoting what stands there."""
    path = write(
        tmp_path, "model_list:\n  - model_name: a\n    litellm_params: {api_key: sk-secret\nrouter_settings: {}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path}:4:")
    assert "sk-secret" not in caught.value.message


def test_a_tab_is_reported_where_it_stands(tmp_path: Path) -> None:
    """A tab as indentation, the most common slip, is reported in its line."""
    path = write(tmp_path, "model_list:\n\t- model_name: a\n")
    with pytest.raises(ConfigError, match=r"config.yaml:2:1: not readable as YAML"):
        read(path)


def test_what_has_no_end_is_refused(tmp_path: Path) -> None:
    """Anchors that multiply, and brackets without end, are refused before they cost anything."""
    powers = "".join(f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n" for before, name in pairwise("abcdefghi"))
    with pytest.raises(ConfigError, match=r"config.yaml: its anchors, written out, are over"):
        read(write(tmp_path, f"a: &a [1]\n{powers}"))
    with pytest.raises(ConfigError, match=r"config.yaml: not readable as YAML: .* too deep"):
        read(write(tmp_path, "a: " + "[" * 100_000))


def test_anchors_are_welcome(tmp_path: Path) -> None:
    """What is referred to a few times is what anchors are for."""
    path = write(tmp_path, "a: &a {b: [1, 2]}\nc: [*a, *a, {<<: *a}]\n")
    assert read(path).data["c"][2] == {"b": [1, 2]}


def test_what_is_no_configuration_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder, a list and binary data each get their own message."""
    with pytest.raises(ConfigError, match="there is no such file"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(ConfigError, match=r"expected a mapping of sections .* found a list"):
        read(write(tmp_path, "- a\n"))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match="expected UTF-8 text, found byte 0xff"):
        read(binary)


def test_an_empty_file_is_an_empty_configuration(tmp_path: Path) -> None:
    """A file without content has no keys."""
    assert read(write(tmp_path, "# nothing yet\n")).data == {}


def test_a_key_written_twice_is_refused_in_our_section_only(tmp_path: Path) -> None:
    """Under the strict section a second spelling of a key is an error; elsewhere the last one wins."""
    assert read(write(tmp_path, "theirs: {a: 1, a: 2}\n")).data == {"theirs": {"a": 2}}
    with pytest.raises(ConfigError, match=r"config.yaml:3: ours.a is written twice, first in line 2"):
        read(write(tmp_path, "ours:\n  a: 1\n  a: 2\n"))


def test_includes_join_lists_and_win_otherwise(tmp_path: Path) -> None:
    """As in LiteLLM, an included file adds to lists and replaces other keys, and keeps its own lines."""
    models = write(tmp_path, "model_list:\n  - model_name: b\nours: {a: 2}\n", "models.yaml")
    path = write(tmp_path, "include: [models.yaml]\nmodel_list:\n  - model_name: a\nours: {a: 1, c: 1}\n")
    document = read(path)
    assert [entry["model_name"] for entry in document.data["model_list"]] == ["a", "b"]
    assert document.data["ours"] == {"a": 2}
    assert "include" not in document.data
    assert document.where(("model_list", 1, "model_name")) == f"{models}:2: model_list[1].model_name"
    assert document.where(("ours", "a")) == f"{models}:3: ours.a"


def test_includes_nest_and_end(tmp_path: Path) -> None:
    """Included files are looked for beside the file that names them, and a circle is read once."""
    (tmp_path / "more").mkdir()
    write(tmp_path / "more", "include: [inner.yaml]\nmodel_list: [{model_name: b}]\n", "outer.yaml")
    write(tmp_path / "more", "include: [outer.yaml]\nmodel_list: [{model_name: c}]\n", "inner.yaml")
    document = read(write(tmp_path, "include: [more/outer.yaml]\nmodel_list: [{model_name: a}]\n"))
    assert [entry["model_name"] for entry in document.data["model_list"]] == ["a", "b", "c"]


def test_a_missing_include_says_where_it_was_expected(tmp_path: Path) -> None:
    """An include that is not there names the file that asks for it and the place it was looked for."""
    with pytest.raises(ConfigError, match=r"config.yaml: include: 'b.yaml' was not found .* expected .*/b.yaml"):
        read(write(tmp_path, "include: [b.yaml]\n"))
    with pytest.raises(ConfigError, match="include: expected a list of file names, found str"):
        read(write(tmp_path, "include: b.yaml\n"))


def test_a_node_that_contains_itself_ends(tmp_path: Path) -> None:
    """An anchor that refers to itself hangs neither the reader nor what comes after: it is refused."""
    with pytest.raises(ConfigError, match="its anchors, written out, are over"):
        read(write(tmp_path, "ours: &a\n  b: *a\n"))


def test_key_paths_are_written_as_people_do() -> None:
    """Keys are joined by dots and list positions stand in brackets."""
    assert dotted(("aliases", "auto", "candidates", 0)) == "aliases.auto.candidates[0]"
