"""In which character set the bytes of a source are, so that results carry the same bytes and show the right names."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydicom.charset import convert_encodings, decode_bytes, encode_string, python_encoding
from pydicom.dataset import Dataset
from pydicom.valuerep import TEXT_VR_DELIMS

from pacs_ai.header import quietly, texts

UTF_8, LATIN_1 = ["ISO_IR 192"], ["ISO_IR 100"]
# Defined terms of one value, and of several with code extensions (PS3.3 tables C.12-2 to C.12-5).
_SINGLE_BYTE = (6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166)
_OF_ONE = frozenset({*(f"ISO_IR {number}" for number in _SINGLE_BYTE), "ISO_IR 192", "GB18030", "GBK"})
_OF_SEVERAL = frozenset(f"ISO 2022 IR {number}" for number in (*_SINGLE_BYTE, 58, 87, 149, 159))
# Terms that Chinese devices write; GBK holds all that is in the sets of which they speak.
_CHINESE = {"ISO 2022 GBK": "GBK", "ISO 2022 58": "GBK"}
_ESCAPE = b"\x1b"
_REPLACEMENT = "\ufffd"
# Terms that hold the default repertoire alone (PS3.3 C.12.1.1.2).
_ASCII_ALONE: tuple[list[str], ...] = ([], [""], ["ISO_IR 6"], ["ISO 2022 IR 6"])
# A set of several bytes whose escape sequence stands in the text names itself (PS3.3 table C.12-4).
_ESCAPES = {
    b"\x1b$B": "ISO 2022 IR 87",
    b"\x1b$(D": "ISO 2022 IR 159",
    b"\x1b$)C": "ISO 2022 IR 149",
    b"\x1b$)A": "ISO 2022 IR 58",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CharacterSet:
    """The terms to declare, none for ASCII alone; `why` tells why they are not those of the source."""

    terms: tuple[str, ...]
    why: str | None = None

    @property
    def encodings(self) -> list[str]:
        """What pydicom calls the terms."""
        return [python_encoding[term] for term in self.terms] or ["iso8859"]

    def decode(self, content: bytes) -> str | None:
        """The text of the bytes; None where they are not of the set."""
        if list(self.terms) in _ASCII_ALONE:
            return content.decode() if content.isascii() and _ESCAPE not in content else None
        try:
            with quietly():
                text = decode_bytes(content, self.encodings, TEXT_VR_DELIMS)
        except (ValueError, LookupError):
            return None
        if "ISO 2022 IR 58" in self.terms:
            text = text.replace("\x1b$)A", "")  # Python's GB2312 knows no escape sequence, and pydicom leaves it there
        # pydicom puts a replacement for what it cannot decode, and leaves an escape sequence that it does not know.
        is_whole = _REPLACEMENT not in text or _REPLACEMENT.encode() in content
        return text if is_whole and _ESCAPE.decode() not in text else None

    def encode(self, content: str) -> bytes | None:
        """The bytes of the text; None where the set does not hold it."""
        try:
            with quietly():
                encoded = encode_string(content, self.encodings)
        except (ValueError, LookupError):
            return None
        return encoded if self.decode(encoded) == content else None


def encodings_read(source: Dataset) -> list[str]:
    """The encodings in which pydicom has read the texts of the source."""
    with quietly():
        return list(convert_encodings(texts(source, "SpecificCharacterSet") or [""]))


def own_set(item: Dataset) -> CharacterSet | None:
    """The set that an item of a sequence declares for its own texts (PS3.5 7.5.3)."""
    said = texts(item, "SpecificCharacterSet")
    return CharacterSet(terms=tuple(said)) if any(said) and _is_defined(said) else None


def character_set(source: Dataset, identity: Iterable[bytes], others: Iterable[bytes]) -> CharacterSet:
    """The set that the source declares where it holds the texts; else the likeliest, which changes no byte.

    The identity keys decide, and the other texts where those are ASCII: a comment of garbage spoils no name.
    Text that is UTF-8 is hardly ever anything else; what is left is read as Latin-1, which has a character for each
    byte. A declared set that exists is believed all the same, unless it is ASCII or UTF-8, whose violation is plain.
    """
    said = texts(source, "SpecificCharacterSet")
    declared = said if any(said) else []
    content = [item for item in identity if not item.isascii() or _ESCAPE in item] or list(others)
    is_known = _is_defined(declared)
    if is_known and _holds(declared, content):
        return CharacterSet(terms=tuple(declared))
    if not declared:
        why = "none is declared"
    else:
        why = "the texts are not of the declared one" if is_known else "the declared one is no defined term"
    for terms in (*(() if is_known else _corrected(declared, content)), UTF_8, *_escaped(content)):
        if _holds(terms, content):
            return CharacterSet(terms=tuple(terms), why=f"{why}; they fit {_named(terms)}")
    if is_known and declared not in (*_ASCII_ALONE, UTF_8):
        return CharacterSet(terms=tuple(declared))
    return CharacterSet(terms=tuple(LATIN_1), why=f"{why}; read as {_named(LATIN_1)}")


def _holds(terms: Sequence[str], content: Iterable[bytes]) -> bool:
    chosen = CharacterSet(terms=tuple(terms))
    return all(chosen.decode(item) is not None for item in content)


def _is_defined(terms: Sequence[str]) -> bool:
    """Whether the terms may stand so; one of those with code extensions is written alone, too."""
    if len(terms) < 2:
        return all(term in _OF_ONE | _OF_SEVERAL for term in terms)
    return all(term in _OF_SEVERAL or (place == 0 and not term) for place, term in enumerate(terms))


def _corrected(declared: Sequence[str], content: Iterable[bytes]) -> list[list[str]]:
    """Misspelt terms with the numbers of such that exist ("iso-ir 100"), each once, in the form for one or several.

    Several that begin with ASCII are for texts with escape sequences; others are of one of them.
    """
    stated = list(dict.fromkeys(term for place, term in enumerate(declared) if term or place == 0))
    alone = [[_corrected_term(term, "ISO_IR")] for term in stated]
    if len(stated) == 1 or (alone[0] in _ASCII_ALONE and not any(_ESCAPE in item for item in content)):
        return [terms for terms in alone if _is_defined(terms) and (len(stated) == 1 or terms not in _ASCII_ALONE)]
    terms = [_corrected_term(term, "ISO 2022 IR") for term in stated]
    return [terms] if _is_defined(terms) else []


def _corrected_term(term: str, form: str) -> str:
    number = re.fullmatch(r"ISO[ _-]*(?:2022[ _-]*)?IR[ _-]*(\d+)", term.upper(), re.ASCII)
    return f"{form} {number[1]}" if number else _CHINESE.get(term.upper(), term.upper())


def _escaped(content: Sequence[bytes]) -> list[list[str]]:
    used = [term for escape, term in _ESCAPES.items() if any(escape in item for item in content)]
    return [["", *used]] if used else []


def _named(terms: Sequence[str]) -> str:
    return "\\".join(terms)
