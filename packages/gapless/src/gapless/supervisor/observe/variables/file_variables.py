"""What the environment files of a generation held when it began."""

from __future__ import annotations

from dataclasses import replace

from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.spec import AppSpec

AGAIN_S = 1.0
"""After how long files that could not be read are read again: all seats ask at once."""


def of_generation(generation: GenerationRecord) -> dict[str, str]:
    """Return the variables of a generation's environment files, read once for all of it.

    A file that is broken meanwhile takes nothing from what serves.  Raises GaplessError.
    """
    wanted = generation.spec
    if not wanted.environment_files:
        return {}
    if generation.file_variables is None:
        failure = generation.file_failure
        if failure is not None and clock.monotonic() < generation.file_failure_until:
            raise failure.with_traceback(None)
        # An app without such files must not cost the memory of this module.
        from gapless.supervisor.observe.variables import environment_files  # noqa: PLC0415 - see above

        try:
            generation.file_variables = environment_files.read(
                wanted.environment_files,
                wanted.directory,
                user=wanted.user,
                group=wanted.group,
            )
        except GaplessError as error:
            generation.file_failure = error
            generation.file_failure_until = clock.monotonic() + AGAIN_S
            raise
    return generation.file_variables


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
