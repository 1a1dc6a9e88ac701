"""How commands and groups of them read their words and show their help."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from howfar.commands.options import with_address


class _Ours:
    """Shows no type for a flag in its help, which takes no value; the address after a `--ray` is optional."""

    def get_params(self, context: Any) -> list[Any]:
        params: list[Any] = super().get_params(context)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the name."""
        parsed: list[str] = super().parse_args(ctx, with_address(args))  # type: ignore[misc]
        return parsed


class Command(_Ours, TyperCommand):
    """A command."""


class Group(_Ours, TyperGroup):
    """A group of commands."""
