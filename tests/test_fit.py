"""The training loop and its parts: what it learns, what it refuses, and that no interruption changes its result."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from wsiamf.classes import EXPERTS, HARDNESS, PHASE
from wsiamf.config import AugmentConfig, FitConfig, LossConfig, TrainConfig, parse_train_config
from wsiamf.errors import ConfigError, TrainingError
from wsiamf.model import MitosisClassifier, Preprocess, build_network, build_preprocess
from wsiamf.training.labels import LabelledCrops, hardness
from wsiamf.training.loop.augment import build_augmentation
from wsiamf.training.loop.averaging import average_weights, reestimate_statistics
from wsiamf.training.loop.batches import AugmentedCrops, as_targets, crop_weights
from wsiamf.training.loop.distil import Teacher, distillation_loss
from wsiamf.training.loop.fit import Progress, Trainer
from wsiamf.training.loop.losses import total_loss
from wsiamf.training.loop.schedule import cosine_rate, new_average
from wsiamf.training.loop.validating import predict_logits
from wsiamf.training.networks import network_spec

SEED = 3
SIDE_PX = 40
CPU = torch.device("cpu")
ONE_CYCLE = {"schedule": "one-cycle", "ema_decay": 0.5, "keep": "best"}
COSINE = {"schedule": "cosine", "warmup": 0.2, "keep": "last"}
STILL = {"rotation_deg": 0, "scale": 0, "brightness": 0, "contrast": 0, "saturation": 0}


def made_crops(n: int = 24, *, noise: int = 40, seed: int = 0) -> LabelledCrops:
    """Crops of which the AMF are darker; the raters split on every fourth."""
    rng = np.random.default_rng(seed)
    amf = np.arange(n) % 3 == 0
    levels = np.where(amf, 90, 170)[:, None, None, None]
    crops = (levels + rng.integers(-noise, noise + 1, (n, SIDE_PX, SIDE_PX, 3))).astype(np.uint8)
    split = np.arange(n) % 4 == 0
    votes = pd.DataFrame({"a/1": amf, "a/2": amf, "a/3": amf ^ split}).astype(float)
    names = [f"{row}.png" for row in range(n)]
    table = pd.DataFrame({"set": "made", "file": names, "slide": None, "case": None, "weight": 1.0})
    table["amf"], table["hard"] = amf.astype(float), hardness(votes)
    return LabelledCrops(crops, table, votes, np.where(amf, 0, 4).repeat(2).reshape(n, 2))


def tiny_config(*, fit: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    """A recipe on timm's smallest network for three epochs of three steps."""
    network = {"backbone": "test_efficientnet", "pretrained": "none", "hidden": 16, "phase": True}
    values: dict[str, Any] = {
        "name": "tiny",
        "version": "0",
        "definition": "test",
        "data": {"sets": [{"kind": "ami-br", "path": "x", "use": "split"}]},
        "network": network | {"view_px": 32, "input_px": 32} | changes.pop("network", {}),
        "loss": {"phase_weight": 0.2},
        "augment": {"stain_scale": 0.3, "stain_shift": 0.03},
        "fit": {"epochs": 3, "batch_size": 8, "lr_backbone": 3e-3, "lr_heads": 1e-2} | (fit or {}),
    }
    return parse_train_config(values | changes, "test")


def new_trainer(
    folder: Path,
    config: TrainConfig,
    data: LabelledCrops | None = None,
    *,
    workers: int = 0,
    teacher: Teacher | None = None,
) -> Trainer:
    """A trainer whose folder exists and whose starting weights are always the same."""
    data = data or made_crops()
    torch.manual_seed(SEED)
    spec = network_spec(config.network)
    network = build_network(spec, len(data.raters), dropout=config.network.dropout)
    folder.mkdir(exist_ok=True)
    validation = None if config.fit.keep == "last" else data
    preprocess = build_preprocess(spec)
    return Trainer(network, preprocess, config, data, validation, folder, seed=SEED, workers=workers, teacher=teacher)


def interrupted_after(epoch: int) -> Any:
    """For ``Trainer.run``: Ctrl-C when an epoch is done."""

    def stop(progress: Progress) -> None:
        if progress.epoch == epoch:
            raise KeyboardInterrupt

    return stop


def killed_in_epoch_two(folder: str, fit: dict[str, Any]) -> None:
    """Train until this process kills itself before the second step of the second epoch."""
    trainer = new_trainer(Path(folder), tiny_config(fit=fit))
    steps = 0

    def count(*_: Any) -> None:
        nonlocal steps
        steps += trainer._network.training
        if steps == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    trainer._network.register_forward_hook(count)
    trainer.run()


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def read_log(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "log.csv").drop(columns="seconds")


class TestResuming:
    @pytest.mark.parametrize("fit", [ONE_CYCLE, COSINE], ids=["one-cycle, EMA", "cosine"])
    def test_an_interrupted_run_ends_in_the_same_weights(self, tmp_path: Path, fit: dict[str, Any]) -> None:
        config = tiny_config(fit=fit)
        whole = new_trainer(tmp_path / "whole", config).run()
        with pytest.raises(KeyboardInterrupt):
            new_trainer(tmp_path / "parts", config).run(interrupted_after(1))
        assert_same(whole, new_trainer(tmp_path / "parts", config).run())
        pd.testing.assert_frame_equal(read_log(tmp_path / "whole"), read_log(tmp_path / "parts"))

    def test_a_run_that_was_killed_in_mid_epoch_does_that_epoch_again(self, tmp_path: Path) -> None:
        whole = new_trainer(tmp_path / "whole", tiny_config(fit=ONE_CYCLE)).run()
        code = f"from tests.test_fit import *; killed_in_epoch_two({str(tmp_path / 'parts')!r}, {ONE_CYCLE})"
        root = Path(__file__).resolve().parent.parent
        done = subprocess.run([sys.executable, "-c", code], cwd=root, check=False, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        resumed = new_trainer(tmp_path / "parts", tiny_config(fit=ONE_CYCLE))
        assert len(read_log(tmp_path / "parts")) == 1
        assert_same(whole, resumed.run())

    def test_a_finished_run_gives_its_weights_again(self, tmp_path: Path) -> None:
        config = tiny_config(fit=COSINE)
        first = new_trainer(tmp_path, config).run()
        assert_same(first, new_trainer(tmp_path, config).run(interrupted_after(3)))

    def test_workers_change_nothing(self, tmp_path: Path) -> None:
        config = tiny_config(fit=ONE_CYCLE | {"epochs": 2})
        alone = new_trainer(tmp_path / "alone", config).run()
        assert_same(alone, new_trainer(tmp_path / "two", config, workers=2).run())
        with pytest.raises(KeyboardInterrupt):
            new_trainer(tmp_path / "parts", config, workers=2).run(interrupted_after(1))
        assert_same(alone, new_trainer(tmp_path / "parts", config, workers=2).run())

    def test_the_callers_random_numbers_are_left_alone(self, tmp_path: Path) -> None:
        trainer = new_trainer(tmp_path, tiny_config(fit=COSINE | {"epochs": 1}))
        before = torch.get_rng_state()
        trainer.run()
        assert torch.equal(before, torch.get_rng_state())

    def test_another_configurations_state_is_refused_and_the_difference_named(self, tmp_path: Path) -> None:
        new_trainer(tmp_path, tiny_config(fit=COSINE | {"epochs": 1})).run()
        other = tiny_config(
            fit=COSINE | {"epochs": 2, "tensorboard": True}, loss={"expert": {"gamma": 2}, "phase_weight": 0.2}
        )
        with pytest.raises(TrainingError, match=r"differs in fit\.epochs, loss\.expert\.gamma; "):
            new_trainer(tmp_path, other).run()
        with pytest.raises(TrainingError, match=r"differs in crops\.training; "):
            new_trainer(tmp_path, tiny_config(fit=COSINE | {"epochs": 1}), made_crops(seed=1)).run()

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda state: state[: len(state) // 2], "is damaged"),
            (lambda state: state[:4000] + bytes(100) + state[4100:], "is damaged"),
            (lambda _: b"", "is damaged"),
            (lambda _: b"something else", "is damaged"),
        ],
    )
    def test_a_damaged_state_is_one_clear_error(self, tmp_path: Path, damage: Any, message: str) -> None:
        state = tmp_path / "state.pt"
        new_trainer(tmp_path, tiny_config(fit=COSINE | {"epochs": 1})).run()
        state.write_bytes(damage(state.read_bytes()))
        with pytest.raises(TrainingError, match=message):
            new_trainer(tmp_path, tiny_config(fit=COSINE | {"epochs": 1})).run()

    def test_another_programs_state_is_refused(self, tmp_path: Path) -> None:
        torch.save({"config": "{}"}, tmp_path / "state.pt")
        with pytest.raises(TrainingError, match="not saved by this version"):
            new_trainer(tmp_path, tiny_config(fit=COSINE)).run()


class TestStopping:
    def test_patience(self, tmp_path: Path) -> None:
        trainer = new_trainer(tmp_path, tiny_config(fit={"epochs": 30, "patience": 2, "keep": "best"}))
        trainer.run()
        progress = trainer.progress
        assert progress.epoch == progress.best_epoch + 2 < 30
        scores = read_log(tmp_path)["validation_balanced_accuracy"]
        assert int(scores.to_numpy().argmax()) + 1 == progress.best_epoch

    def test_the_last_epoch_needs_no_validation_part(self, tmp_path: Path) -> None:
        trainer = new_trainer(tmp_path, tiny_config(fit=COSINE))
        kept = trainer.run()
        assert_same(kept, trainer._network.state_dict())
        assert read_log(tmp_path).filter(like="validation").isna().all(axis=None)

    def test_the_best_epoch_needs_one(self, tmp_path: Path) -> None:
        data, config = made_crops(), tiny_config()
        trainer = new_trainer(tmp_path, tiny_config(fit=COSINE))
        with pytest.raises(TrainingError, match="needs a validation part"):
            Trainer(trainer._network, trainer._preprocess, config, data, None, tmp_path, seed=0)

    def test_crops_that_cannot_be_learnt_from(self, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"6 training crops are fewer than fit\.batch_size \(8\)"):
            new_trainer(tmp_path, tiny_config(fit=COSINE), made_crops(6))
        normal = made_crops(48)
        with pytest.raises(TrainingError, match="training part has crops of one class alone"):
            new_trainer(tmp_path, tiny_config(fit=COSINE), normal.subset(np.flatnonzero(normal.amf == 0)))

    def test_a_loss_that_is_not_finite_stops_before_the_step(self, tmp_path: Path) -> None:
        config = tiny_config(fit=COSINE)
        whole = new_trainer(tmp_path / "whole", config).run()
        trainer = new_trainer(tmp_path / "parts", config)

        def poison(progress: Progress) -> None:
            nn.init.constant_(trainer._network.get_parameter("heads.experts.bias"), float("nan"))

        with pytest.raises(TrainingError, match="the loss became nan in epoch 2, step 1"):
            trainer.run(poison)
        assert_same(whole, new_trainer(tmp_path / "parts", config).run())

    def test_a_gradient_that_is_not_finite_stops_before_the_step(self, tmp_path: Path) -> None:
        trainer = new_trainer(tmp_path, tiny_config(fit=COSINE))
        bias = trainer._network.get_parameter("heads.experts.bias")
        before = bias.detach().clone()
        bias.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
        with pytest.raises(TrainingError, match=r"the gradient became (nan|inf) in epoch 1, step 1"):
            trainer.run()
        assert torch.equal(before, bias)
        assert not (tmp_path / "state.pt").exists()


class TestLearning:
    @pytest.mark.parametrize("precision", ["f32", "bf16"])
    def test_what_is_there_to_learn(self, tmp_path: Path, precision: str) -> None:
        trainer = new_trainer(tmp_path, tiny_config(fit=ONE_CYCLE | {"epochs": 6, "precision": precision}))
        trainer.run()
        assert read_log(tmp_path)["validation_auc"].max() > 0.95

    def test_f16_is_for_cuda_alone(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"fit\.precision: f16 is for CUDA alone, and this is cpu"):
            new_trainer(tmp_path, tiny_config(fit={"precision": "f16"}))

    def test_f16_leaves_out_steps_that_overflow_and_resumes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("precision", "fit"):  # the CPU can do it, though too slowly for users
            monkeypatch.setattr(f"wsiamf.training.loop.{module}.check_precision", lambda *_: None)
        config = tiny_config(fit=ONE_CYCLE | {"precision": "f16"})

        def overflowing(folder: Path) -> Trainer:
            trainer = new_trainer(folder, config)
            factors = iter([float("inf"), float("inf")])
            bias = trainer._network.get_parameter("heads.experts.bias")
            bias.register_hook(lambda gradient: gradient * next(factors, 1.0))  # type: ignore[no-untyped-call]
            return trainer

        trainer = overflowing(tmp_path / "whole")
        whole = trainer.run()
        assert trainer._precision.state_dict()["scale"] == 65536 / 4
        assert trainer._scheduler.last_epoch == 9 - 2
        with pytest.raises(KeyboardInterrupt):
            overflowing(tmp_path / "parts").run(interrupted_after(1))
        assert_same(whole, new_trainer(tmp_path / "parts", config).run())

    def test_tensorboard_that_is_not_installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r"fit\.tensorboard: TensorBoard is not installed"):
            new_trainer(tmp_path, tiny_config(fit={"tensorboard": True}))

    def test_the_loss_weighs_crops(self, tmp_path: Path) -> None:
        data = made_crops(noise=0)  # one colour a crop, so that flips change nothing
        data.table["weight"] = np.where(np.arange(24) < 12, 2.0, 1.0)
        loss = LossConfig(amf_weight=3, hard_weight=1.5)
        by_hand = np.array(
            [
                (2 if row < 12 else 1) * (3 if amf else 1) * (1.5 if hard else 1)
                for row, (amf, hard) in enumerate(zip(data.amf, data.table["hard"], strict=True))
            ]
        )
        weights = crop_weights(data, loss)
        assert torch.allclose(weights, torch.tensor(by_hand / by_hand.mean(), dtype=torch.float32))

        fit = {"batch_size": 24, "epochs": 1, "keep": "last"}
        network = {"dropout": 0, "hardness": False, "phase": False}
        config = tiny_config(fit=fit, network=network, loss=loss.model_dump(), augment=STILL)
        trainer = new_trainer(tmp_path, config, data)
        first_row = read_first_loss(trainer, data, loss)
        trainer.run()
        assert read_log(tmp_path)["loss"][0] == pytest.approx(float((first_row * weights).mean()), rel=1e-3)
        assert abs(float((first_row * weights).mean()) - float(first_row.mean())) > 1e-3

    def test_progress_foretells_the_rest(self) -> None:
        log = [{"seconds": seconds} for seconds in (100.0, 10.0, 20.0, 30.0)]
        assert Progress(epoch=4, log=log).remaining_seconds(10) == 6 * 20
        assert np.isnan(Progress().remaining_seconds(10))


def read_first_loss(trainer: Trainer, data: LabelledCrops, loss: LossConfig) -> Tensor:
    """The loss of each crop before the first step, one crop at a time but in one batch."""
    images = trainer._preprocess(torch.from_numpy(data.crops_NSS3))
    with torch.no_grad():
        logits = {head: values.clone() for head, values in trainer._network.train()(images).items()}
    rows = []
    for row in range(len(data)):
        targets = as_targets(data.subset(np.array([row])), CPU)
        rows.append(total_loss({EXPERTS: logits[EXPERTS][row : row + 1]}, targets, loss))
    return torch.stack(rows)


class TestFrozen:
    def config(self, **fit: Any) -> TrainConfig:
        return tiny_config(network={"frozen": True, "pretrained": "imagenet", "hidden": 0}, fit=COSINE | fit)

    def test_a_frozen_backbone_neither_moves_nor_fills_the_state(self, tmp_path: Path) -> None:
        trainer = new_trainer(tmp_path, self.config())
        before = {name: tensor.clone() for name, tensor in trainer._network.state_dict().items()}
        after = trainer.run()
        moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
        assert moved == {name for name in before if name.startswith("heads.")}
        saved = torch.load(tmp_path / "state.pt", weights_only=True)["state"]
        assert saved["network"].keys() == saved["best"].keys() == moved

    def test_it_resumes(self, tmp_path: Path) -> None:
        whole = new_trainer(tmp_path / "whole", self.config(ema_decay=0.5)).run()
        with pytest.raises(KeyboardInterrupt):
            new_trainer(tmp_path / "parts", self.config(ema_decay=0.5)).run(interrupted_after(2))
        assert_same(whole, new_trainer(tmp_path / "parts", self.config(ema_decay=0.5)).run())


class TestDistillation:
    def test_the_student_comes_to_say_what_the_teacher_says(self, tmp_path: Path) -> None:
        data = made_crops()

        def contrary(crops_NSS3: Tensor) -> dict[str, Tensor]:
            assert (crops_NSS3.dtype, crops_NSS3.shape[1:]) == (torch.uint8, (32, 32, 3))
            with torch.inference_mode():
                bright = crops_NSS3.float().mean(dim=(1, 2, 3), keepdim=True).flatten(1) > 130
                return {EXPERTS: (6.0 * bright - 3.0).expand(-1, 3)}

        told = {
            "teachers": [{"network": {"backbone": "test_efficientnet", "view_px": 32}}],
            "weight": 1.0,
            "temperature": 2.0,
        }
        config = tiny_config(fit=COSINE | {"epochs": 8}, augment=STILL, distil=told)
        trainer = new_trainer(tmp_path, config, data, teacher=contrary)
        trainer._network.load_state_dict(trainer.run())
        said = predict_logits(trainer._network, trainer._preprocess, data)[EXPERTS].mean(dim=1).numpy()
        assert ((said < 0) == (data.amf == 1)).mean() > 0.9

    def test_by_hand(self) -> None:
        student, teacher = torch.tensor([[1.0, -2.0], [0.5, 0.0]]), torch.tensor([[2.0, 0.0], [-1.0, 3.0]])
        p, q = torch.sigmoid(student / 2), torch.sigmoid(teacher / 2)
        per_crop = -(q * p.log() + (1 - q) * (1 - p).log()).mean(dim=1)
        config = LossConfig(theta=0.3, phase_weight=0.5)
        only_experts = distillation_loss({EXPERTS: student}, {EXPERTS: teacher}, config, 2.0)
        assert float(only_experts) == pytest.approx(float(per_crop.mean()))
        weighted = distillation_loss({EXPERTS: student}, {EXPERTS: teacher}, config, 2.0, torch.tensor([2.0, 0.0]))
        assert float(weighted) == pytest.approx(float(per_crop[0]))

    def test_heads_of_one_side_teach_nothing_and_equal_phases_cost_nothing(self) -> None:
        config = LossConfig(theta=0.0, phase_weight=0.5)
        phases = torch.tensor([[1.0, 2.0, -200.0]])
        student = {EXPERTS: torch.zeros(1, 1), HARDNESS: torch.zeros(1, 1), PHASE: phases}
        assert float(distillation_loss(student, {PHASE: phases}, config, 1.0)) == pytest.approx(0.0, abs=1e-6)
        assert float(distillation_loss(student, {PHASE: phases.flip(1)}, config, 1.0)) > 1

    def test_teachers_of_other_hardness_classes_are_refused(self) -> None:
        network = {"backbone": "test_efficientnet", "hardness_classes": 4}
        with pytest.raises(ConfigError, match=r"distil\.teachers: .*hardness_classes"):
            tiny_config(distil={"teachers": [{"network": network}]})


class TestLogs:
    def test_tensorboard_shows_each_epoch_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("tensorboard")
        config = tiny_config(fit=ONE_CYCLE | {"tensorboard": True})
        save = Trainer._save

        def killed_before_saving(trainer: Trainer, run: dict[str, Any]) -> None:
            if trainer.progress.epoch == 2:
                raise KeyboardInterrupt
            save(trainer, run)

        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "_save", killed_before_saving)
            with pytest.raises(KeyboardInterrupt):
                new_trainer(tmp_path, config).run()
        new_trainer(tmp_path, config).run()
        new_trainer(tmp_path, config).run()  # finished: writes nothing
        events = read_events(tmp_path / "tensorboard")
        log = read_log(tmp_path)
        assert events.keys() == set(log.columns) - {"epoch"} | {"seconds"}
        assert [step for step, _ in events["loss"]] == [1, 2, 3]
        assert np.allclose([value for _, value in events["validation_auc"]], log["validation_auc"])


def read_events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


class TestSchedule:
    def test_cosine_with_a_warm_up(self) -> None:
        rates = [cosine_rate(step, steps=20, warmup_steps=4) for step in range(21)]
        assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
        assert rates[12] == pytest.approx(0.5)
        assert rates[20] == pytest.approx(0.0)
        assert cosine_rate(0, steps=20, warmup_steps=0) == 1

    def test_the_rates_that_were_asked_for_are_reached(self, tmp_path: Path) -> None:
        for fit in (ONE_CYCLE, COSINE):
            trainer = new_trainer(tmp_path, tiny_config(fit=fit | {"epochs": 5}))
            rates = []
            for _ in range(15):
                rates.append([group["lr"] for group in trainer._optimizer.param_groups])
                trainer._optimizer.step()
                trainer._scheduler.step()
            assert np.max(rates, axis=0) == pytest.approx([3e-3, 1e-2], rel=0.05)
            assert rates[0] < rates[2]
            assert rates[-1] < rates[5]

    def test_the_average_is_exponential(self) -> None:
        network = nn.Linear(1, 1, bias=False)
        fit = FitConfig(epochs=1, lr_backbone=1, lr_heads=1, ema_decay=0.75)
        average = new_average(network, fit)
        assert average is not None
        for value in (1.0, 2.0, 4.0):
            nn.init.constant_(network.weight, value)
            average.update_parameters(network)
        assert average.module.get_parameter("weight").item() == pytest.approx(0.75 * (0.75 * 1 + 0.25 * 2) + 0.25 * 4)


class TestAveraging:
    def test_the_mean_of_floats_and_what_is_shared(self) -> None:
        third = torch.tensor([0.1])
        states = [{"w": torch.tensor([k]), "n": torch.tensor(k).int(), "frozen": third} for k in (1.0, 2.0, 6.0)]
        mean = average_weights(states)
        assert (float(mean["w"]), int(mean["n"])) == (3.0, 1)
        assert torch.equal(mean["frozen"], third)

    @pytest.mark.parametrize("frozen", [False, True])
    def test_statistics_are_measured_where_they_are_learnt(self, *, frozen: bool) -> None:
        extra = [{"view_px": 40, "colour": "hed"}]
        config = tiny_config(network={"frozen": frozen, "pretrained": "imagenet", "extra_inputs": extra}).network
        spec = network_spec(config)
        network, preprocess = build_network(spec, 3), build_preprocess(spec)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        data = made_crops(24)
        reestimate_statistics(network, preprocess, data)
        after = network.state_dict()
        changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
        assert not network.training
        if frozen:
            assert changed == set()
            return
        assert changed == {name for name in before if "running_" in name or "num_batches" in name}
        stem = network.backbone.get_submodule("conv_stem")(preprocess(torch.from_numpy(data.crops_NSS3)))
        assert torch.allclose(after["backbone.bn1.running_mean"], stem.mean(dim=(0, 2, 3)), atol=1e-4)

    def test_a_network_without_batch_norm_is_left_alone(self) -> None:
        network = MitosisClassifier("test_vit", n_experts=1, backbone_args={"img_size": 32})
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        preprocess = Preprocess(view_px=32, input_px=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        reestimate_statistics(network, preprocess, made_crops())
        assert_same(before, dict(network.state_dict()))


class TestCrops:
    def test_each_crop_of_each_epoch_and_seed_has_its_own_draw(self) -> None:
        same_NSS3 = torch.from_numpy(made_crops().crops_NSS3[:1]).expand(2, -1, -1, -1)
        augment = build_augmentation(AugmentConfig(), view_px=32)
        first, other = (AugmentedCrops(same_NSS3, augment, seed) for seed in (1, 2))
        drawn = [first[1, 0][0], first[1, 1][0], first[2, 0][0], other[1, 0][0]]
        assert not any(torch.equal(one, two) for one, two in combinations(drawn, 2))
        assert torch.equal(first[1, 0][0], drawn[0])

    def test_the_data_set_can_be_sent_to_a_process(self) -> None:
        augment = build_augmentation(AugmentConfig(), view_px=32)
        crops = AugmentedCrops(torch.from_numpy(made_crops().crops_NSS3), augment, SEED)
        crop, row = pickle.loads(pickle.dumps(crops))[1, 5]  # noqa: S301 - our own
        assert row == 5
        assert torch.equal(crop, crops[1, 5][0])
