"""The table of all settings in ``docs/settings.md``; ``python -m monitor.settings_reference`` prints it anew."""

from pydantic_core import PydanticUndefined

from monitor.settings import Settings
from monitor.settings_errors import allowed_values, known_fields


def settings_table() -> str:
    """Return a Markdown table with key, default, allowed values and meaning of every setting."""
    rows = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
    for name, field in known_fields(Settings).items():
        default = "" if field.default in (None, PydanticUndefined) else f"`{_as_toml(field.default)}`"
        rows.append(f"| `{name}` | {default} | {allowed_values(field)} | {field.description} |")
    return "\n".join(rows)


def _as_toml(value: object) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f'"{value}"'
        if isinstance(value, str)
        else str(value)
    )


if __name__ == "__main__":
    print(settings_table())
