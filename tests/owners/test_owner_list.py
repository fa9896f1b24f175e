"""Files of owners' addresses, as people export them."""

from pathlib import Path

import pytest

from harvester.errors import ConfigError
from harvester.owners.owner_list import owners_in

ANN, BOB = "ann@example.org", "bob+pv@example.org"


def written(folder: Path, text: str | bytes) -> Path:
    """Write a file of owners."""
    file = folder / "owners.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize(
    "text",
    [
        f"{ANN}\n{BOB}\n",
        f"email\n{ANN}\n{BOB}",
        f"Name,E-Mail,City\r\nAnn,{ANN},Kassel\r\nBob,{BOB},Bonn\r\n",
        f"id;loginHint\n1;{ANN}\n2;{BOB}\n",
        f"OWNER;name\n{ANN};Ann, of Kassel\n{BOB};Bob\n",
        f"\ufeffEmail\n\n  {ANN} \n;\n{ANN.upper()}\n{BOB}\n",
        f'owner,email\n"Ann\nof Kassel",{ANN}\nBob,"{BOB}"\n',
    ],
)
def test_the_addresses_are_found_each_once(tmp_path: Path, text: str) -> None:
    """With heads in any case or none, commas or semicolons, with a byte order mark, blank lines and duplicates."""
    assert owners_in(written(tmp_path, text.replace("\n;\n", "\n\n"))) == [ANN, BOB]


def test_every_bad_line_is_named_with_its_number(tmp_path: Path) -> None:
    """As a text editor counts them; a cell of two lines counts as two."""
    text = f'name,email\nAnn,{ANN}\nBob,bob\n\n"Cat\nof Bonn",\nDan\nEve,{BOB}\nFay,fay@\n'
    with pytest.raises(ConfigError) as refused:
        owners_in(written(tmp_path, text))
    lines = str(refused.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [
        "line 3: 'bob' is no e-mail address",
        "line 5: no address",
        "line 7: no address",
        "line 9: 'fay@' is no e-mail address",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no address in this file"),
        ("email\n", "no address below"),
        (f"name,town\nAnn,{ANN}\n", "no column is called email"),
        (b"email\nj\xf6rg@example.org\n", "is not UTF-8"),
        (f'email\n"{ANN}\n', "line 2: is not CSV"),
    ],
)
def test_a_file_that_is_no_list_of_owners_is_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    """With what is wrong and the file's name."""
    with pytest.raises(ConfigError, match=words) as refused:
        owners_in(written(tmp_path, text))
    assert "owners.csv" in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(ConfigError, match=r"nothing\.csv: cannot be read"):
        owners_in(tmp_path / "nothing.csv")
