"""The command line: what composes, and what every mistake is answered by."""

import pytest

from ctm.app.compose import CONFIGS, compose, experiments, instantiate
from ctm.errors import ConfigError
from ctm.models.build import build_model


@pytest.mark.parametrize("name", experiments())
def test_every_experiment_composes_and_builds(name: str) -> None:
    experiment = compose([f"experiment={name}"])
    assert experiment.name == name
    assert str(experiment.run_dir) == f"runs/{name}/seed0"
    model = build_model(experiment.model, experiment.task.spec, device="meta")
    assert sum(weight.numel() for weight in model.parameters()) > 0


def test_every_experiment_is_a_short_diff() -> None:
    for file in (CONFIGS / "experiment").rglob("*.yaml"):
        lines = [line for line in file.read_text().splitlines() if line.strip()]
        chosen = ("#", "defaults:", "  - ")  # groups are chosen, not set
        assert len([line for line in lines if not line.startswith(chosen)]) <= 20, file


def test_every_encoder_of_the_configs_composes() -> None:
    for file in (CONFIGS / "model" / "encoder").glob("*.yaml"):
        experiment = compose(["experiment=digits/quick", f"model/encoder={file.stem}"])
        assert experiment.model.encoder.kind in file.stem


def test_name_seed_and_run_dir_choose_the_folder() -> None:
    assert str(compose(["name=mine", "seed=3"]).run_dir) == "runs/mine/seed3"
    assert str(compose(["name=mine", "run_dir=elsewhere/x"]).run_dir) == "elsewhere/x"
    assert str(compose(["name=mine", "run_dir=2024"]).run_dir) == "2024"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["experiment=parity/quik"], "experiment=parity/quik: no such experiment; did you mean p"),
        (["experiment=nonsense"], "experiment=nonsense: no such experiment; did you mean"),
        (["experiment=parity/_paperr"], "no such experiment"),
        (["experiment=parity/_paper"], "experiment=parity/_paper: a part of others; choose one of"),
        (["+more=1"], "more=1: no such setting; want one of name, seed"),
        (["seed=true"], "seed=True: want a whole number"),
        (["seed=18446744073709551616"], "want a whole number from 0 to"),
        (["model.kind=lstm"], "model.kind=lstm: not the kind of these settings; choose by group"),
        (["model.encoder.kind=conv"], "model.encoder.kind=conv: not the kind of these settings"),
        (["task.kind=digits"], "task.kind=digits: not the kind of these settings"),
        ([], "experiment=?: choose one of cifar10/ctm, cifar10/feedforward"),
        (["model.tick=3"], "model.tick=3: no such setting; did you mean model.ticks"),
        (["optimizer.lrate=3"], "optimizer.lrate=3: no such setting; did you mean optimizer.lr"),
        (["nonsense=3"], "nonsense=3: no such setting"),
        (["+model.tick=3"], "model.tick=3: no such setting; model has kind, dropout"),
        (["+model.encoder.width=3"], "model.encoder.width=3: no such setting"),
        (["model.ticks=many"], "model.ticks=many: Value 'many' of type 'str' could not be"),
        (["model.ticks=2.5"], "model.ticks=2.5: Value '2.5' of type 'float'"),
        (["model.ticks=0"], "model.ticks=0: want 1 or more"),
        (["model.engine=warp"], "model.engine=warp: Invalid value 'warp', expected one of [eager,"),
        (["model.engine=null"], "model.engine=null: "),
        (["model.checkpoint_ticks=0"], "model.checkpoint_ticks=0: want 1 or more, or null"),
        (["model.checkpoint_ticks=few"], "model.checkpoint_ticks=few: Value 'few'"),
        (["model.neurons=null"], "model.neurons=null: field 'model.neurons' is not Optional"),
        (["model.pairing=sparse"], "expected one of [dense, semi_dense, random, none]"),
        (["model.heads=3"], "model.heads=3: want a divisor of model.d_input=64"),
        (["model.heads=0"], "model.heads=0: want a divisor of model.d_input=64"),
        (["model.sync_action=0"], "model.sync_action=0: want 1 or more"),
        (["model.pairing=random", "model.self_pairs=33"], "model.self_pairs=33: want at most the"),
        (["model.self_pairs=1"], "model.self_pairs=1: want 0"),
        (["model.pairing=dense", "model.sync_out=257"], "model.sync_out=257: want at most model"),
        (["model.dropout=1"], "model.dropout=1.0: want 0 <= p < 1"),
        (["model/encoder=transformer"], "model/encoder=transformer: no such model/encoder; di"),
        (["task=parities"], "task=parities: no such task; did you mean parity"),
        (["task.length=0"], "task.length=0: want 1 or more"),
        (["seed=first"], "seed=first: want a whole number from 0"),
        (["describe=3"], "describe=3: want true or false"),
        (["trainer.steps=0"], "trainer.steps=0: want 1 or more"),
        (["trainer.precision=64"], "trainer.precision=64: want one of 32, bf16-mixed, 16-mixed"),
        (["trainer.accelerator=tpu"], "trainer.accelerator=tpu: want one of auto, cpu, cuda"),
        (["trainer.clip_norm=1"], "null where trainer.clip_norm is set"),
        (["nonsense"], "nonsense: Error parsing override 'nonsense'; want settings of the form"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_by_one_line(overrides: list[str], said: str) -> None:
    base = (
        []
        if not overrides or overrides[0].startswith("experiment")
        else ["experiment=parity/quick"]
    )
    with pytest.raises(ConfigError) as caught:
        compose([*base, *overrides])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model/encoder=conv"], "model/encoder=conv: it can't read inputs of kind signs"),
        (["model.encoder.positions=fourier"], "positions=fourier: this encoder's tokens have 1"),
        (["model/encoder=none"], "model.d_input=64: model/encoder=none hands on the task's 16"),
        (["model.reading=direct"], "model.reading=direct: model/encoder=parity gives many tokens"),
        (["model/encoder=none", "model.d_input=16"], "model.reading=attention: model/encoder=none"),
    ],
)
def test_parts_that_do_not_fit_are_refused(overrides: list[str], said: str) -> None:
    experiment = compose(["experiment=parity/quick", *overrides])
    with pytest.raises(ConfigError) as caught:
        build_model(experiment.model, experiment.task.spec, device="meta")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_optimizer_settings_are_answered_by_one_line() -> None:
    experiment = compose(["experiment=parity/quick", "optimizer.lr=fast"])
    model = build_model(experiment.model, experiment.task.spec)
    with pytest.raises(ConfigError) as caught:
        instantiate(experiment.optimizer, "optimizer", params=list(model.parameters()))
    assert str(caught.value).startswith("optimizer: torch.optim.AdamW refuses its settings")
    assert "\n" not in str(caught.value)
