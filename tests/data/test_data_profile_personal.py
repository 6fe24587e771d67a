"""What looks like personal data, and above all what does not."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from everloop.data.profile import summarise

R = np.random.default_rng(5)
N = 600


def luhn(prefix: str, size: int) -> str:
    body = prefix + "".join(map(str, R.integers(0, 10, size - len(prefix) - 1)))
    doubled = [int(d) * (2 if at % 2 == 0 else 1) for at, d in enumerate(reversed(body))]
    return body + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def digits(size: int) -> str:
    return str(R.integers(10 ** (size - 1), 10**size))


def cpf() -> str:
    body = [int(d) for d in digits(9)]
    for n in (9, 10):
        body.append(sum(d * w for d, w in zip(body, range(n + 1, 1, -1), strict=True)) * 10 % 11 % 10)
    text = "".join(map(str, body))
    return f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}"


def dni() -> str:
    number = int(digits(8))
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def iban() -> str:
    account = digits(18)
    return f"DE{98 - int(account + '131400') % 97:02}{account}"


def found(values: list[str | None]) -> set[str]:
    return set(summarise(pl.DataFrame({"v": values}), about="").columns[0].pii)


PERSONAL = {
    "email": [("email", lambda: f"ann.o'neil+{digits(4)}@mail{digits(1)}.example.co.uk")],
    "phone": [
        ("international", lambda: f"+49 171 {digits(7)}"), ("compact", lambda: f"+44{digits(10)}"),
        ("american", lambda: f"({R.integers(201, 989)}) {R.integers(200, 999)}-{digits(4)}"), ("german", lambda: f"0{digits(3)}/{digits(7)}"),
        ("french", lambda: f"+33 {digits(1)} {digits(2)} {digits(2)} {digits(2)} {digits(2)}"),
    ],
    "card": [("visa", lambda: luhn("4", 16)), ("amex", lambda: luhn("37", 15)),
             ("grouped", lambda: " ".join(grouped()))],
    "national_id": [("cpf", cpf), ("dni", dni), ("ssn", lambda: f"{R.integers(100, 660)}-{digits(2)}-{digits(4)}"), ("nino", lambda: f"AB{digits(6)}C")],
    "iban": [("german", iban)],
}  # fmt: skip


def grouped() -> list[str]:
    number = luhn("51", 16)
    return [number[at : at + 4] for at in range(0, 16, 4)]


@pytest.mark.parametrize(
    ("kind", "make"), [pytest.param(kind, make, id=f"{kind}-{name}") for kind, all_ in PERSONAL.items() for name, make in all_]
)
def test_personal_data_is_found(kind: str, make: object) -> None:
    assert callable(make)
    assert found([make() for _ in range(N)]) == {kind}


START = datetime(2026, 1, 1)
HARMLESS = {
    "order ids": lambda at: f"{10**9 + at}",
    "long order ids": lambda at: f"4{digits(15)}",
    "order codes": lambda at: f"ORD-{digits(8)}",
    "grouped ids": lambda at: f"{digits(3)}-{digits(3)}-{digits(4)}",
    "part numbers": lambda at: f"{digits(8)}-{digits(2)}",
    "part codes": lambda at: f"{digits(8)}{'ABCDEFGHJKLMNPQRSTVWXYZ'[at % 23]}",
    "zip codes": lambda at: f"{at % 99999:05}",
    "zip plus four": lambda at: f"{digits(5)}-{digits(4)}",
    "timestamps": lambda at: str(START + timedelta(minutes=at)),
    "iso": lambda at: (START + timedelta(minutes=at)).isoformat() + "+02:00",
    "dates": lambda at: (START + timedelta(days=at)).strftime("%d-%m-%Y"),
    "epoch": lambda at: str(1_767_225_600_000 + at),
    "uuids": lambda at: str(uuid.UUID(bytes=R.bytes(16))),
    "hex": lambda at: R.bytes(16).hex(),
    "addresses": lambda at: ".".join(map(str, R.integers(1, 255, 4))),
    "versions": lambda at: f"{at}.{at % 7}.0",
    "decimals": lambda at: f"{R.normal():+.9f}",
    "coordinates": lambda at: f"{R.uniform(-90, 90):.6f}, {R.uniform(-180, 180):.6f}",
    "isbn": lambda at: f"978-3-16-{digits(6)}-{digits(1)}",
    "handles": lambda at: f"@user{at}",
    "phrases": lambda at: f"{at} items @ 5 each",
    "eleven digits": lambda at: digits(11),
    "nine digits": lambda at: digits(9),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_not_personal_is_not_called_so(name: str) -> None:
    assert found([HARMLESS[name](at) for at in range(N)]) == set()


def test_a_few_addresses_in_long_texts_are_found() -> None:
    texts: list[str | None] = [f"note {at}: the customer called again, see the ticket" for at in range(20_000)]
    for at in range(0, 20_000, 400):
        texts[at] = f"please write to user{at}@mail.example.com instead"
    column = summarise(pl.DataFrame({"v": texts}), about="").columns[0]
    assert column.pii == {"email": pytest.approx(50 / 20_000, abs=1e-4)}
