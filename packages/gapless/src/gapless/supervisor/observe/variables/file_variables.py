"""What the environment files of a generation held when it began.

Rule: a file that is read slowly is no failure.  No instance starts meanwhile, and no other
app waits for it; what is not read after `file_reader.GIVE_UP_S` is one.
"""

from __future__ import annotations

from dataclasses import replace

from gapless.base import clock
from gapless.base.errors import GaplessError, UnavailableError
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.spec import AppSpec

AGAIN_S = 1.0
"""After how long files that could not be read are read again: all seats ask at once."""


class StillReadsError(UnavailableError):
    """The files of a generation are still read: who asks asks again."""


def of_generation(generation: GenerationRecord) -> dict[str, str]:
    """Return the variables of a generation's environment files, read once for all of it.

    A file that is broken meanwhile takes nothing from what serves.  Raises GaplessError.
    """
    if not generation.spec.environment_files:
        return {}
    if generation.file_variables is None:
        failure = generation.file_failure
        if failure is not None and clock.monotonic() < generation.file_failure_until:
            raise failure.with_traceback(None)
        try:
            generation.file_variables = _read(generation)
        except StillReadsError:
            raise
        except GaplessError as error:
            generation.file_failure = error
            generation.file_failure_until = clock.monotonic() + AGAIN_S
            give_up(generation)
            raise
        give_up(generation)
    return generation.file_variables


def _read(generation: GenerationRecord) -> dict[str, str]:
    # An app without such files must not cost the memory of these modules.
    from gapless.supervisor.observe.variables import (  # noqa: PLC0415 - see above
        environment_files,
        file_reader,
    )

    wanted, answers = generation.spec, generation.file_answers
    now = clock.monotonic()
    if generation.files_asked_at is None:
        generation.files_asked_at = now
    if now - generation.files_asked_at >= file_reader.GIVE_UP_S:
        raise environment_files.late(
            wanted.environment_files, wanted.directory, answers
        )
    found = environment_files.read_soon(
        wanted.environment_files,
        wanted.directory,
        answers,
        user=wanted.user,
        group=wanted.group,
    )
    if found is None:
        raise StillReadsError(f"{wanted.name}: its environment files are still read")
    return found


def give_up(generation: GenerationRecord) -> None:
    """Wait no longer for the files of a generation."""
    generation.files_asked_at = None
    generation.file_answers.clear()


def as_configured(generation: GenerationRecord) -> AppSpec:
    """Return the spec of a generation as if what is known of its files stood in it.

    For decisions that look at variables.  It is kept nowhere: there may be secrets in it.
    """
    wanted, found = generation.spec, generation.file_variables
    if not found:
        return wanted
    own = {name: wanted.environment[name] for name in wanted.configured}
    return replace(
        wanted,
        environment=wanted.environment | found | own,
        configured=tuple(sorted({*wanted.configured, *found})),
    )
