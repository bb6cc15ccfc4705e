"""`cutis app --drug-store`: what is wrong is said before anything starts."""

from pathlib import Path

import pytest

from cutis.cli import run

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "drug-store.csv"


def refused(capsys: pytest.CaptureFixture[str], place: str) -> str:
    assert run(["app", "--no-browser", "--port", "0", "--drug-store", place]) == 2
    return capsys.readouterr().err


def test_a_catalogue_with_a_missing_column_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.csv"
    path.write_text(EXAMPLE.read_text("utf-8").replace("contraindications_fa", "x"), "utf-8")
    assert "the column 'contraindications_fa' is missing" in refused(capsys, str(path))


def test_an_address_without_encryption_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unencrypted" in refused(capsys, "http://pharmacy.example/products")


def test_a_file_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "cannot be read" in refused(capsys, str(tmp_path / "none.csv"))


def test_the_store_reaches_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    from cutis.cli.run_app import run_app

    given: dict[str, object] = {}

    def created(*_: object, **parts: object) -> None:
        given.update(parts)
        raise RuntimeError("enough")

    class Nothing:
        segmenter = None
        info = type("Info", (), {"segmenter": None})

    monkeypatch.setattr("cutis.app.create_app", created)
    monkeypatch.setattr("cutis.runtime.Predictor.load", lambda *_, **__: Nothing)
    with pytest.raises(RuntimeError, match="enough"):
        run_app(port=0, browser=False, drug_store=str(EXAMPLE))
    assert len(given["drug_store"].listing) >= 8  # type: ignore[attr-defined]
