"""Text for people: all that comes from outside can be seen; quantities with their units."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number and its noun: 1 request, 2 requests."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def sized(count_bytes: float) -> str:
    """Return a number of bytes in its largest unit: 512B, 1.5K, 20.0M, 3.2G."""
    for unit in ("B", "K", "M", "G"):
        if count_bytes < 1024 or unit == "G":
            return (
                f"{count_bytes:.0f}{unit}"
                if unit == "B"
                else f"{count_bytes:.1f}{unit}"
            )
        count_bytes /= 1024
    return ""


def reason_of(error: OSError | UnicodeDecodeError) -> str:
    """Return why a text could not be read; its path is what the caller has named."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is no text in UTF-8, from byte {error.start} on"
    return (error.strerror or str(error)).lower()


def printable(text: str, *, kept: str = "") -> str:
    r"""Return a text in which what is not printable is escaped: ESC is shown as \x1b.

    That is what `str.isprintable` refuses: control and format characters (also those that
    turn the direction of text), separators of lines, and bytes that are not UTF-8.  Those
    in *kept* stay.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in kept else _escaped(each) for each in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
