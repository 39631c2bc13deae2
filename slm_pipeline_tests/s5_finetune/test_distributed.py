"""Several processes train what one trains, up to rounding, and hand it back the same way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load

import slm_pipeline.s5_finetune
from slm_pipeline.resources import tracking
from slm_pipeline.s5_finetune.attempt import ADAPTER, fine_tune
from slm_pipeline.s5_finetune.distributed import main
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s5_finetune.conftest import GROUP, KILLED, elsewhere
from slm_pipeline_tests.tiny_architectures import make_tiny_model

SHIPPED = Path(slm_pipeline.s5_finetune.__file__).with_name("accelerate")


def launch(config: str) -> str:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(SHIPPED / config), "--main_process_port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command += ["-m", "slm_pipeline.s5_finetune.distributed", GROUP]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_processes_go_on_with_what_one_began_and_train_what_it_would_have(group, home, monkeypatch):
    """Full fine-tuning, for it is in fp32 on any machine; batches of 3, which two processes cannot share evenly; with a teacher's
    logits and, at last, preferences."""
    teacher = make_tiny_model("qwen", home / "teacher")
    for name, value in {"TRAINING_METHOD": "full", "BATCH_SIZE": "3", "TEACHER_MODEL": str(teacher), "MIN_PREFERENCE_PAIRS": "4"}.items():
        monkeypatch.setenv(f"SLM_{name}", value)
    alone, _ = fine_tune(GROUP, elsewhere(group, home / "other"), "", lambda *_: None)
    killed = subprocess.run([sys.executable, "-c", KILLED], env=os.environ, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]

    assert "trained" in launch("cpu.yaml")

    together, settings = group.read(ADAPTER, GROUP), get_settings()
    one, two = alone.json("training"), together.json("training")
    assert together.inputs == alone.inputs
    assert together.files.keys() == alone.files.keys()
    assert [point["step"] for point in two["curves"]] == [point["step"] for point in one["curves"]]
    for name in ("train_loss", "val_loss"):
        losses, expected = ([point[name] for point in curves if name in point] for curves in (two["curves"], one["curves"]))
        assert losses == pytest.approx(expected, rel=1e-4)
    assert two["preference"] == pytest.approx(one["preference"], rel=1e-3)
    assert two["preference"]["margin_after"] > two["preference"]["margin_before"]
    weights, expected = (load(artefact.bytes("model.safetensors")) for artefact in (together, alone))
    for name, tensor in expected.items():
        assert (weights[name] - tensor).abs().max() < 1e-3
    (run,) = tracking.client(settings).search_runs([tracking.experiment_id(settings, GROUP)])
    assert run.info.status == "FINISHED"
    assert "nothing has changed" in launch("cpu.yaml")


def test_an_unknown_group_lists_those_there_are(group):
    with pytest.raises(SystemExit, match=f"no group 'other' with examples; there are {GROUP}"):
        main("other")


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.name)
def test_shipped_configurations_are_ones_that_accelerate_reads(file):
    config = load_config_from_file(str(file))
    assert config.num_processes == yaml.safe_load(file.read_text())["num_processes"]
