"""Putting RouteIQ in front of an existing configuration: what is added, and that nothing is lost."""

from pathlib import Path

import pytest

from routeiq.config.adopt import Adoption, adopt, write
from routeiq.config.compile import compile_snapshot
from routeiq.config.load import load
from routeiq.core.errors import ConfigError, UnknownCandidate
from tests.unit.config.scene import CANDIDATES, EMBEDDER, LITELLM, Shelf
from tests.unit.config.scene import write as put

BARE = """\
# Ours since 2024
model_list:
  - model_name: small   # the workhorse
    litellm_params: {model: openai/small-1, api_key: os.environ/SOME_KEY}
  - model_name: big
    litellm_params: {model: openai/big-1}
  - model_name: vectors
    litellm_params: {model: openai/text-embedding-3-small}

general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
"""


def adopted(path: Path, alias: str = "auto", *models: str) -> Adoption:
    """Add an alias with a strategy."""
    return adopt(load(path), alias, models, "cheapest-capable", None)


def test_a_plain_configuration_gets_section_and_virtual_model(tmp_path: Path) -> None:
    """After adoption the file compiles, routing among the models that answer prompts, and begins as it did."""
    path = put(tmp_path, BARE)
    adoption = adopted(path)
    assert adoption.after.startswith(BARE)
    path.write_text(adoption.after)
    route = compile_snapshot(load(path), CANDIDATES, Shelf(), EMBEDDER).routes["auto"]
    assert route.table.names == ("small", "big")
    assert route.profile.strategy == "cheapest-capable"


def test_adopting_twice_changes_nothing(tmp_path: Path) -> None:
    """A configuration that has all of it is left as it is, also when it was written by hand."""
    path = put(tmp_path, BARE)
    write(adopted(path))
    again = adopted(path)
    assert again.after == again.before == path.read_text()


def test_a_second_alias_joins_the_first(tmp_path: Path) -> None:
    """Another alias is added beside what is there, with the candidates it is given."""
    path = put(tmp_path, BARE)
    write(adopted(path))
    write(adopted(path, "cheap", "small"))
    routes = compile_snapshot(load(path), CANDIDATES, Shelf(), EMBEDDER).routes
    assert {name: route.table.names for name, route in routes.items()} == {
        "auto": ("small", "big"),
        "cheap": ("small",),
    }


def test_a_group_that_is_there_is_used(tmp_path: Path) -> None:
    """When LiteLLM knows the virtual model already, only RouteIQ's section is added."""
    adoption = adopted(put(tmp_path, LITELLM))
    assert adoption.after.startswith(LITELLM)
    assert "routing_groups" not in adoption.after.removeprefix(LITELLM)


def test_the_candidates_of_the_section_become_the_group(tmp_path: Path) -> None:
    """An alias that lists candidates but has no group gets a group of those."""
    path = put(tmp_path, BARE + "routeiq_settings:\n  aliases:\n    auto: {candidates: [big]}\n")
    assert "models: [big]" in adopted(path).after


@pytest.mark.parametrize(
    ("alias", "models", "kind", "message"),
    [
        ("small", (), ConfigError, "'small' is also a model_name of the model_list"),
        ("default", (), ConfigError, "'default' is LiteLLM's name for"),
        ("auto", ("bigg",), UnknownCandidate, r"'bigg' is not in the model_list; did you mean 'big'\?"),
    ],
)
def test_what_cannot_be_routed_is_not_added(
    tmp_path: Path, alias: str, models: tuple[str, ...], kind: type[ConfigError], message: str
) -> None:
    """An alias that is a model, or a candidate that does not exist, is refused before anything is shown."""
    with pytest.raises(kind, match=message):
        adopted(put(tmp_path, BARE), alias, *models)


def test_without_models_there_is_nothing_to_route(tmp_path: Path) -> None:
    """A model list without a model that answers prompts is refused with what to do."""
    with pytest.raises(ConfigError, match="no model that answers prompts; name some with --models"):
        adopted(put(tmp_path, "model_list: []\n"))


@pytest.mark.parametrize("models", [(), ("openai/gpt-4o",)])
def test_wildcards_are_no_candidates(tmp_path: Path, models: tuple[str, ...]) -> None:
    """A list of wildcards alone has nothing to choose among, and the message says what to add."""
    path = put(tmp_path, 'model_list:\n  - {model_name: "openai/*", litellm_params: {model: "openai/*"}}\n')
    with pytest.raises(ConfigError, match="which a wildcard does not name: add an entry"):
        adopted(path, "auto", *models)


def test_a_section_of_an_included_file_is_not_shadowed(tmp_path: Path) -> None:
    """Where an included file holds the section, adding to the main file would change nothing, so it is refused."""
    put(tmp_path, "router_settings: {num_retries: 1}\n", "router.yaml")
    path = put(tmp_path, BARE + "include: [router.yaml]\n")
    with pytest.raises(ConfigError, match=r"router_settings stands in the included file .*router.yaml"):
        adopted(path)


def test_writing_leaves_a_copy_and_the_mode(tmp_path: Path) -> None:
    """The file is replaced with its permissions kept, and every former version stays beside it."""
    path = put(tmp_path, BARE)
    path.chmod(0o640)
    assert write(Adoption(path, BARE, "one\n")) == tmp_path / "config.yaml.bak"
    assert write(Adoption(path, "one\n", "two\n")) == tmp_path / "config.yaml.bak2"
    assert path.read_text() == "two\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "config.yaml.bak").read_text() == BARE
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.yaml", "config.yaml.bak", "config.yaml.bak2"]


def test_a_linked_file_stays_linked(tmp_path: Path) -> None:
    """Writing through a symbolic link changes the file it points to."""
    target = put(tmp_path, BARE, "real.yaml")
    link = tmp_path / "config.yaml"
    link.symlink_to(target)
    write(Adoption(link, BARE, "new\n"))
    assert link.is_symlink()
    assert target.read_text() == "new\n"
