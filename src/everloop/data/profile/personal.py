"""Texts -> hints that they are personal data.

Conservative: a kind is named only where the form leaves little doubt, by its punctuation or by check digits, and where a good share of the
values has it. Digits alone are never a phone number, and numbers with a check digit must be right far more often than chance makes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

EMAIL = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}\b")
# ITU-T E.164 with its plus; the North American plan (area and exchange begin with 2 to 9); a leading 0, an area and a separator.
_PHONES = (
    re.compile(r"\+[1-9]\d{0,2}[ .\-/]?(?:\(0?\d{1,4}\)[ .\-/]?)?\d{1,5}(?:[ .\-/]?\d{2,5}){1,4}"),
    re.compile(r"(?:\+?1[ .\-])?(?:\([2-9][0-8]\d\) ?|[2-9][0-8]\d[\-. ])[2-9](?!11)\d{2}[\-. ]\d{4}"),
    re.compile(r"\(?0\d{2,4}\)?[ /\-]\d{3,8}(?:[ \-]\d{2,4}){0,3}"),
)
_DECIMAL = re.compile(r"[+-]?\d*\.\d*")
_CARD = re.compile(r"(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6(?:011|5\d{2}))([ -]?)\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([ -]?)\d{6}\2\d{5}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?")

FEW_EMAILS = 0.001
MOST = 0.5
# Of random numbers in the form of American phone numbers 70 percent could be some, and a few percent pass check digits; of true ones nearly all.
CHECKED = 0.8


def personal(sample: Sequence[str], with_at: Sequence[str], at_share: float) -> dict[str, float]:
    """Kinds of personal data and the share of the values that look like it: of the `sample`; for e-mail addresses, also within longer text,
    the share of those that hold an '@' (a sample `with_at`, which are `at_share` of the rows)."""
    found: dict[str, float] = {}
    emails = at_share * _share(with_at, lambda text: EMAIL.search(text) is not None)
    if emails >= FEW_EMAILS:
        found["email"] = round(min(emails, 1.0), 4)
    for kind, looks_like, least in (("phone", is_phone, CHECKED), ("card", is_card, MOST), ("iban", is_iban, MOST)):
        share = _share(sample, looks_like)
        if share >= least:
            found[kind] = round(share, 4)
    national = max(_share(sample, looks_like) for looks_like in NATIONAL.values())
    if national >= CHECKED:
        found["national_id"] = round(national, 4)
    return found


def _share(texts: Sequence[str], looks_like: Callable[[str], bool]) -> float:
    return sum(looks_like(text.strip()) for text in texts) / len(texts) if texts else 0.0


def is_phone(text: str) -> bool:
    if not 9 <= sum(char.isdigit() for char in text) <= 15 or _DECIMAL.fullmatch(text):
        return False
    return any(form.fullmatch(text) for form in _PHONES)


def is_card(text: str) -> bool:
    """A number range of a card network (ISO/IEC 7812) and Luhn's check digit."""
    return _CARD.fullmatch(text) is not None and _luhn(_digits(text))


def is_iban(text: str) -> bool:
    """ISO 13616: the check is modulo 97."""
    if not 15 <= len(text) <= 42 or _IBAN.fullmatch(text) is None:
        return False
    plain = text.replace(" ", "")
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _digits(text: str) -> list[int]:
    return [int(char) for char in text if char.isdigit()]


def _luhn(digits: Sequence[int]) -> bool:
    doubled = [digit if at % 2 == 0 else digit * 2 - 9 * (digit > 4) for at, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _weighted(digits: Sequence[int], weights: Sequence[int]) -> int:
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=False))


def _form(pattern: str, check: Callable[[str], bool] = lambda _: True) -> Callable[[str], bool]:
    form = re.compile(pattern)
    return lambda text: form.fullmatch(text) is not None and check(text)


def _spanish(text: str) -> bool:
    number = text[:8].translate(str.maketrans("XYZ", "012"))
    return text[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def _french(text: str) -> bool:
    plain = text.replace(" ", "")
    number = int(plain[:13].replace("2A", "19").replace("2B", "18"))
    return int(plain[13:]) == 97 - number % 97


def _brazilian(text: str) -> bool:
    digits = _digits(text)
    checks = [_weighted(digits, range(n + 1, 1, -1)) * 10 % 11 % 10 for n in (9, 10)]
    return len(set(digits)) > 1 and digits[9:] == checks


def _polish(text: str) -> bool:
    digits = _digits(text)
    month, day = (digits[2] * 10 + digits[3]) % 20, digits[4] * 10 + digits[5]
    return 1 <= month <= 12 and 1 <= day <= 31 and (10 - _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == digits[10]


NATIONAL: dict[str, Callable[[str], bool]] = {
    "US SSN": _form(r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}"),
    "GB NINO": _form(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"),
    "ES DNI/NIE": _form(r"[\dXYZ]\d{7}-?[A-Z]", lambda text: _spanish(text.replace("-", ""))),
    "FR NIR": _form(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", _french),
    "IT codice fiscale": _form(r"[A-Z]{6}\d{2}[A-EHLMPRST](?:[0-6]\d|7[01])[A-Z]\d{3}[A-Z]"),
    "BR CPF": _form(r"\d{3}\.\d{3}\.\d{3}-\d{2}", _brazilian),
    "PL PESEL": _form(r"\d{11}", _polish),
    "SE personnummer": _form(r"(?:\d{2})?\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[-+]\d{4}", lambda text: _luhn(_digits(text)[-10:])),
}
"""Identity numbers by country: the form, and its check digits where there are any."""
