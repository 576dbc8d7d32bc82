"""The publish command: what it prints, asks for and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from neuropile import make_pile, open_pile, testing
from neuropile.cli.publish import publish
from neuropile.errors import PileError

app = typer.Typer()
app.command()(publish)


@pytest.fixture(scope="module")
def pile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    make_pile(testing.store(folder / "store", [testing.recording(0, n_units=4, duration_s=20)])).save(folder / "p.parquet")
    return folder / "p.parquet"


def run(*args: object) -> tuple[int, str, str, BaseException | None]:
    done = CliRunner().invoke(app, [str(a) for a in args])
    return done.exit_code, done.stdout, done.stderr, done.exception


def test_one_json_object_tells_what_was_written(pile: Path, tmp_path: Path) -> None:
    code, out, _, _ = run(pile, "--to", tmp_path / "p", "--compat", "--json")
    told = json.loads(out)
    assert code == 0
    opened = open_pile(tmp_path / "p")
    assert (told["n_segments"], told["n_tokens"], told["path"]) == (len(opened), opened.n_tokens, str(tmp_path / "p"))
    assert told["bits_per_token"] == pytest.approx(8 * told["bytes"] / told["n_tokens"])
    assert (tmp_path / "p" / "compat").is_dir()


def test_people_are_told_how_to_read_it(pile: Path, tmp_path: Path) -> None:
    _, out, err, _ = run(pile, "--to", tmp_path / "p")
    assert "bits a token" in out
    assert f"open_pile('{tmp_path / 'p'}')" in err


def test_a_published_folder_can_be_published_again(pile: Path, tmp_path: Path) -> None:
    assert run(pile, "--to", tmp_path / "p")[0] == 0
    assert run(tmp_path / "p", "--to", tmp_path / "q", "--layout", "dense", "--engine", "serial")[0] == 0
    assert open_pile(tmp_path / "q").source.rows.layout == "dense"


@pytest.mark.parametrize(
    ("args", "words"),
    [(["--accept-terms", "x"], "terms of x are accepted"), (["--layout", "csr"], "must be one of sparse, dense"), (["--private"], "Hugging Face Hub")],
)
def test_what_cannot_be_done_is_an_error_of_ours(pile: Path, tmp_path: Path, args: list[str], words: str) -> None:
    code, _, _, error = run(pile, "--to", tmp_path / "p", *args)
    assert code == 1
    assert isinstance(error, PileError)
    assert words in str(error)
