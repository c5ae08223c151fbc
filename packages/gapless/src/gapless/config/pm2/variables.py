"""The environment variables of a declaration."""

from __future__ import annotations

from collections.abc import Mapping

from gapless.config.pm2.declaration import Declaration

_KEPT_ALWAYS = ("PATH", "HOME")


def configured(declared: Declaration, profile: str) -> dict[str, str]:
    """Return the variables that the file sets, with the env_NAME of --env laid over env.

    As in PM2, `deploy.NAME.env` is between them.
    """
    found = dict(declared.get("env", {}))
    if profile:
        if profile not in {*declared.profiles, *declared.deployed}:
            known = ", ".join(declared.profiles) or "none"
            declared.warnings.append(
                declared.message_for(
                    f"env_{profile}",
                    f"--env {profile} finds no such field; it has: {known}",
                )
            )
        found |= declared.deployed.get(profile, {})
        found |= declared.profiles.get(profile, {})
    if declared.get("port") is not None:
        found["PORT"] = str(declared.get("port"))
    return found


def inherited(declared: Declaration, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the shell that `filter_env` lets the app inherit."""
    filtered = declared.get("filter_env", False)
    found = dict(environment)
    if not filtered:
        return found
    if filtered is True:
        return {name: v for name, v in found.items() if name in _KEPT_ALWAYS}
    if isinstance(filtered, str):
        return {name: v for name, v in found.items() if name != filtered}
    return {
        name: v
        for name, v in found.items()
        if not any(piece in name for piece in filtered) or name in _KEPT_ALWAYS
    }
