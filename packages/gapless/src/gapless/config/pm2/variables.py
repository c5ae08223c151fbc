"""The environment variables of a declaration."""

from __future__ import annotations

from collections.abc import Mapping

from gapless.config.pm2.declaration import Declaration

_ALWAYS = ("PATH", "HOME")


def configured(declared: Declaration, profile: str) -> dict[str, str]:
    """Return the variables that the file sets, in the profile that --env names."""
    found = dict(declared.get("env", {}))
    if profile:
        if profile not in declared.profiles:
            known = ", ".join(declared.profiles) or "none"
            declared.warnings.append(
                declared.complaint(
                    f"env_{profile}",
                    f"--env {profile} finds no such field; it has: {known}",
                )
            )
        found |= declared.profiles.get(profile, {})
    if declared.get("port") is not None:
        found["PORT"] = str(declared.get("port"))
    return found


def inherited(declared: Declaration, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what `filter_env` leaves of the shell's environment."""
    wanted = declared.get("filter_env", False)
    found = dict(environment)
    if not wanted:
        return found
    if wanted is True:
        return {name: v for name, v in found.items() if name in _ALWAYS}
    if isinstance(wanted, str):
        return {name: v for name, v in found.items() if name != wanted}
    return {
        name: v
        for name, v in found.items()
        if not any(piece in name for piece in wanted) or name in _ALWAYS
    }
