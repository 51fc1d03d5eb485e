"""Secrets in files: read when the process starts, and again whenever a file changes.

Owns which value a variable has, when a changed file is believed, and who is told. A secret is in the file that
`NAME_FILE` names, or in a folder of `ROUTEIQ_SECRETS_DIR` under its own name (Kubernetes, Vault Agent, Docker); the
value is put into the environment of this process, where LiteLLM looks for it. What a new value does to a connection or
a model is the business of those who are told.
"""

import asyncio
import logging
import re
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from routeiq.config import environment
from routeiq.config.concealed import Concealed
from routeiq.config.master_key import PUBLICLY_KNOWN
from routeiq.config.redis_url import parse_redis_url
from routeiq.core.errors import ConfigError

LONGEST: Final = 65_536
"""Bytes of the longest secret; a service account in JSON has some thousands."""

SETTLED_S: Final = 0.05
"""How long a new value must stand before it is believed: a file may be seen half written."""

_DATA: Final = "..data"
"""The link of a mounted Secret whose exchange changes all its files at once."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _not_known(key: str) -> None:
    if key.strip() == PUBLICLY_KNOWN and not environment.weak_key_allowed():
        raise ConfigError("this master key is publicly known")


_CHECKS: Final[Mapping[str, Callable[[str], object]]] = {
    "LITELLM_MASTER_KEY": _not_known,
    "REDIS_URL": parse_redis_url,
    "ROUTEIQ_REDIS_URL": parse_redis_url,
}
"""What a new value must pass before it takes the place of one that works."""

logger = logging.getLogger(__name__)

Changed = Callable[[frozenset[str]], None]
Failed = Callable[[str, BaseException], None]


@dataclass(frozen=True, slots=True)
class _Look:
    """What the files say: values, and per name why there is none. Never shown."""

    values: Mapping[str, str] = field(repr=False)
    problems: Mapping[str, str]
    open_to_all: tuple[str, ...]


class Secrets:
    """The secrets of one process that come from files; those of the environment pass through.

    `named` are the files by the variable that each holds, `folders` hold files that are named like their variables; a
    file that is named wins. `known` and `put` read and write the environment. Whoever has changes take effect counts
    them in `in_effect`; `concealed` has every value, the former ones too.
    """

    def __init__(
        self,
        named: Mapping[str, Path],
        folders: Sequence[Path] = (),
        *,
        known: Callable[[str], str | None] = environment.secret,
        put: Callable[[Mapping[str, str]], None] = environment.put_secrets,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._named, self._folders = dict(named), tuple(folders)
        self._known, self._put, self._now = known, put, now
        self._values: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._open_to_all: tuple[str, ...] = ()
        self._calls: list[Changed] = []
        self._changes = 0
        self.in_effect = 0
        self.concealed = Concealed()

    @classmethod
    def of_process(cls) -> "Secrets":
        """Read what the environment of this process names, and complete that environment; raises ConfigError."""
        secrets = cls(environment.secret_files(), environment.secret_folders())
        secrets.start()
        secrets.concealed.learn_environment()
        return secrets

    @property
    def names(self) -> frozenset[str]:
        """The variables that come from files."""
        return frozenset(self._values)

    @property
    def watched(self) -> bool:
        """Whether there are files or folders to look at."""
        return bool(self._named or self._folders)

    def current(self, name: str) -> str | None:
        """Return the present value of a variable, from its file or else from the environment."""
        return self._values.get(name) or self._known(name)

    def on_change(self, call: Changed) -> None:
        """Have `call` told the names whose values changed, on the event loop, when `current` has the new ones."""
        self._calls.append(call)

    def start(self) -> None:
        """Read all files for the first time; raises ConfigError when a secret can be had nowhere.

        What is wrong without being a reason not to start is said by the first `check`, when there is a log.
        """
        for folder in self._folders:
            if not folder.is_dir():
                raise ConfigError(
                    f"environment variable ROUTEIQ_SECRETS_DIR: expected a folder that exists, found {str(folder)!r}"
                )
        look = self._look()
        for name, problem in look.problems.items():
            if name in self._named and not self._known(name):
                raise ConfigError(f"environment variable {name}_FILE: {problem}")
        self._take(look.values)
        self._changes = 0

    async def check(self) -> frozenset[str]:
        """Look at the files now; return the names whose values changed, after everybody was told."""
        look = await asyncio.to_thread(self._look)
        if any(self._values.get(name) != value for name, value in look.values.items()):
            await asyncio.sleep(SETTLED_S)
            again = await asyncio.to_thread(self._look)
            same = {name: value for name, value in look.values.items() if again.values.get(name) == value}
            look = _Look(same, again.problems, again.open_to_all)
        changed = self._take(look.values)
        self._complain(look)
        if changed:
            logger.warning("secrets changed: %s", ", ".join(sorted(changed)))
            for call in tuple(self._calls):
                call(changed)
        return changed

    async def watch(self, poll_s: float, failed: Failed = lambda where, error: None) -> None:
        """Look now and every `poll_s` seconds until cancelled."""
        while True:
            try:
                await self.check()
            except Exception as error:  # noqa: BLE001 - background loop: the next look may well succeed
                failed("secrets", error)
            await asyncio.sleep(poll_s)

    def status(self) -> Mapping[str, object]:
        """Return per name since when its value is what it is (seconds since the epoch), and what is wrong."""
        return {
            **self.standing(),
            "names": {name: {"since": at} for name, at in sorted(self._since.items())},
            "problems": dict(sorted(self._problems.items())),
        }

    def standing(self) -> Mapping[str, int]:
        """Return how many changes were found, how many of them all parts go by, and how many secrets are wrong."""
        return {"changes": self._changes, "in_effect": self.in_effect, "wrong": len(self._problems)}

    def _take(self, values: Mapping[str, str]) -> frozenset[str]:
        """Have values take effect; return the names of those that are new here."""
        new = {name: value for name, value in values.items() if self._values.get(name) != value}
        if not new:
            return frozenset()
        self.concealed.learn(new.values())
        self._put(new)
        self._values.update(new)
        self._since.update(dict.fromkeys(new, self._now()))
        self._changes += 1
        return frozenset(new)

    def _complain(self, look: _Look) -> None:
        """Say once what is wrong with which file."""
        problems = dict(look.problems)
        for name in self._values.keys() - look.values.keys() - problems.keys():
            problems[name] = "its file is gone"
        for name in sorted(problems):
            if problems[name] != self._problems.get(name):
                kept = "; the value of before stays" if self.current(name) else ""
                logger.error("secret %s: %s%s", name, problems[name], kept)
        self._problems = problems
        if look.open_to_all and look.open_to_all != self._open_to_all:
            logger.warning(
                "anybody on this machine can read the files of %s; make them readable for the gateway only (chmod "
                "0400, in Kubernetes `defaultMode: 0400`)",
                ", ".join(look.open_to_all),
            )
        self._open_to_all = look.open_to_all

    def _look(self) -> _Look:
        """Read every file; blocks on the file system."""
        values: dict[str, str] = {}
        problems: dict[str, str] = {}
        open_to_all = []
        for name, path in self._paths().items():
            try:
                value, anybody = _read(path)
                _CHECKS.get(name, str)(value)
            except ConfigError as error:
                problems[name] = error.message
                continue
            values[name] = value
            if anybody:
                open_to_all.append(name)
        return _Look(values, problems, tuple(sorted(open_to_all)))

    def _paths(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in self._folders:
            # All files of one look are of the same generation, although the link may be exchanged meanwhile.
            root = (folder / _DATA).resolve() if (folder / _DATA).is_dir() else folder
            try:
                entries = sorted(root.iterdir())
            except OSError:
                continue
            for path in entries:
                if _NAME.fullmatch(path.name) and path.is_file():
                    found.setdefault(path.name, path)
        return {**found, **self._named}


def _read(path: Path) -> tuple[str, bool]:
    """Return the secret in a file, without the line break at its end, and whether anybody may read it.

    Raises ConfigError, which never shows what is in the file.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > LONGEST:
        raise ConfigError(f"{path} is too long for a secret: more than {LONGEST} bytes")
    try:
        value = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    if not value.strip() or "\0" in value:
        raise ConfigError(f"{path} is empty" if not value.strip() else f"{path} holds a zero byte")
    return value, bool(mode & stat.S_IROTH)
