"""`slm export` as a user runs it."""

import pytest
from typer.testing import CliRunner

from slm_pipeline.cli import app
from slm_pipeline.resources import tracking
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s6_refine.samples import GROUP
from slm_pipeline_tests.tiny_group import make_tiny_group


@pytest.fixture
def group(home):
    make_tiny_group(home)


def slm_export(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_the_champion_is_written_and_the_comparison_is_shown(group, tmp_path):
    result = slm_export(GROUP, "--to", "peft", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "adapter: largest logit difference" in result.output
    assert "Version 1" in result.output
    assert (tmp_path / "out" / "README.md").exists()


def test_what_is_not_there_is_said_with_what_is(group, tmp_path):
    settings, out = get_settings(), tmp_path / "out"
    unknown = slm_export("nobody-00000000", "--to", "peft", "--out", out)
    assert f"no group 'nobody-00000000' with an adapter; there are {GROUP}" in unknown.stderr
    version = slm_export(GROUP, "--to", "peft", "--out", out, "--version", "9")
    assert f"{GROUP} has no version 9; there are 1" in version.stderr
    tracking.client(settings).delete_registered_model_alias(GROUP, tracking.CHAMPION)
    champion = slm_export(GROUP, "--to", "peft", "--out", out)
    assert "has no champion: no adapter has passed the gate. Name one by --version; there are 1" in champion.stderr
    assert {unknown.exit_code, version.exit_code, champion.exit_code} == {1}
    assert not out.exists()


def test_without_any_group_it_says_how_to_get_one(home, tmp_path):
    assert "none yet: `slm run` trains them" in slm_export("x", "--to", "gguf", "--out", tmp_path / "out").stderr


def test_a_form_that_is_none_is_refused_with_those_there_are(tmp_path):
    result = slm_export("x", "--to", "onnx", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "ollama" in result.stderr
