"""How commands and groups of them read their words and show their help."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from howfar.commands.options import with_address


class _Flags:
    """Shows no type for a flag in its help: a flag takes no value."""

    def get_params(self, context: Any) -> list[Any]:
        params: list[Any] = super().get_params(context)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class Command(_Flags, TyperCommand):
    """A command; the address after its `--ray` is optional."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command's name."""
        return super().parse_args(ctx, with_address(args))


class Group(_Flags, TyperGroup):
    """A group of commands; the address after a command's `--ray` is optional."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the group's name."""
        return super().parse_args(ctx, with_address(args))
