"""ResNet-38 and its maps: size, agreement with plain autograd, boxes, and nothing left on the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sammix_core.errors import InputError
from sammix_core.guidance.boxes_from_cam import boxes_from_cam
from sammix_core.guidance.gradcam import METHODS, activation_maps
from sammix_core.guidance.resnet38 import LAYERS, STRUCTURE, ResNet38
from sammix_core.guidance.resnet38_cam import OTSU, CamSettings, ResNet38Cam, default_boxes, threshold_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small() -> ResNet38:
    torch.manual_seed(3)
    network = ResNet38(0.125).eval()
    with torch.no_grad():
        network.fc.weight[STRUCTURE].abs_()  # so that the maps have parts above 0
    return network


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 1, 256, 256, generator=torch.Generator().manual_seed(1))


def test_the_full_network_is_the_papers() -> None:
    network = ResNet38()
    assert sum(parameter.numel() for parameter in network.parameters()) == 17_575_618
    # 38 layers: the stem, three convolutions in each of 2 + 3 + 5 + 2 blocks, and the last one.
    blocks = [stage for name in LAYERS for stage in getattr(network, name)]
    assert 1 + 3 * len(blocks) + 1 == 38
    with torch.inference_mode():
        features = network.eval().layer4(
            network.layer3(network.layer2(network.layer1(network.maxpool(network.conv1(torch.zeros(1, 1, 256, 256))))))
        )
    assert features.shape == (1, 2048, 8, 8)


def test_half_the_width_fits_into_a_package() -> None:
    assert sum(parameter.numel() for parameter in ResNet38(0.5).parameters()) * 2 < 9e6  # bytes in half precision


@pytest.mark.parametrize("width", [0.125, 0.25, 0.3])
def test_the_width_is_read_off_the_weights(width: float) -> None:
    network = ResNet38(width)
    again = ResNet38.from_state(network.state_dict())
    assert again.layer4[0].conv1.weight.shape == network.layer4[0].conv1.weight.shape
    assert not again.training


@pytest.mark.parametrize("damage", ["conv1.weight", "fc.weight", "fc.bias"])
def test_weights_of_another_network_are_refused(small: ResNet38, damage: str) -> None:
    state = {name: tensor for name, tensor in small.state_dict().items() if name != damage}
    with pytest.raises(InputError, match="ResNet-38 weights"):
        ResNet38.from_state(state)


# Maps


def features_and_gradients(network: ResNet38, layer: str, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's output and the gradient of the structure's score there, by autograd alone."""
    kept: list[torch.Tensor] = []
    handle = getattr(network, layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    score = network(images.clone().requires_grad_(True))[:, STRUCTURE].sum()
    handle.remove()
    (gradients,) = torch.autograd.grad(score, kept[0])
    return kept[0].detach(), gradients


def by_hand(method: str, features: torch.Tensor, gradients: torch.Tensor) -> np.ndarray:
    weighted = {
        "gradcam": gradients.mean((2, 3), keepdim=True) * features,
        "hirescam": gradients * features,
        "layercam": gradients.clamp(min=0) * features,
    }[method]
    cam = weighted.sum(1).clamp(min=0)
    cam = cam - cam.amin((1, 2), keepdim=True)
    return (cam / (1e-7 + cam.amax((1, 2), keepdim=True))).numpy()


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam"])
@pytest.mark.parametrize("layer", ["layer3", "layer4"])
def test_maps_agree_with_plain_autograd(small: ResNet38, images: torch.Tensor, method: str, layer: str) -> None:
    maps, output = activation_maps(small, getattr(small, layer), images, STRUCTURE, method)
    expected = by_hand(method, *features_and_gradients(small, layer, images))
    assert maps.shape == expected.shape == ((3, 16, 16) if layer == "layer3" else (3, 8, 8))
    assert np.abs(expected).max() > 0.9, "maps of nothing would agree too"
    np.testing.assert_allclose(maps, expected, atol=2e-5)
    torch.testing.assert_close(output, small(images).detach())


def test_eigencam_is_the_first_principal_component(small: ResNet38, images: torch.Tensor) -> None:
    maps, _ = activation_maps(small, small.layer4, images, STRUCTURE, "eigencam")
    features = features_and_gradients(small, "layer4", images)[0][0].flatten(1).T.numpy()
    centred = features - features.mean(0)
    component = (centred @ np.linalg.svd(centred, full_matrices=False)[2][0]).reshape(8, 8)
    either = [np.clip(sign * component, 0, None) for sign in (1, -1)]  # the library leaves the sign open
    either = [(one - one.min()) / (one.max() - one.min()) for one in either]
    assert min(np.abs(maps[0] - one).max() for one in either) < 1e-4


def test_with_a_linear_head_grad_cam_equals_hirescam_at_the_last_layer(small: ResNet38, images: torch.Tensor) -> None:
    one, _ = activation_maps(small, small.layer4, images, STRUCTURE, "gradcam")
    other, _ = activation_maps(small, small.layer4, images, STRUCTURE, "hirescam")
    np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("frozen", [True, False])
def test_a_map_leaves_nothing_on_the_model(small: ResNet38, images: torch.Tensor, method: str, frozen: bool) -> None:
    network = ResNet38.from_state(small.state_dict()).requires_grad_(not frozen).train()
    network.bn1.eval()
    mine = torch.ones_like(network.fc.bias)
    network.fc.bias.grad = mine
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    activation_maps(network, network.layer4, images, STRUCTURE, method)
    assert network.fc.bias.grad is mine
    assert mine.eq(1).all()
    assert all(parameter.grad is None for name, parameter in network.named_parameters() if name != "fc.bias")
    assert all(parameter.requires_grad is not frozen for parameter in network.parameters())
    assert network.training
    assert network.layer4.training
    assert not network.bn1.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_failure_leaves_nothing_either(small: ResNet38) -> None:
    network = ResNet38.from_state(small.state_dict()).train()
    with pytest.raises(RuntimeError):
        activation_maps(network, network.layer4, torch.zeros(1, 2, 256, 256), STRUCTURE)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_maps_are_made_inside_inference_mode_too(small: ResNet38) -> None:
    with torch.inference_mode():
        images = torch.rand(1, 1, 256, 256)
        inside, _ = activation_maps(small, small.layer4, images, STRUCTURE)
    outside, _ = activation_maps(small, small.layer4, images.clone(), STRUCTURE)
    np.testing.assert_array_equal(inside, outside)


def test_an_unknown_method_is_refused(small: ResNet38) -> None:
    with pytest.raises(InputError, match="no class activation map 'scorecam'; choose one of gradcam, hirescam"):
        activation_maps(small, small.layer4, torch.zeros(1, 1, 64, 64), STRUCTURE, "scorecam")


# The guidance


class Painted(nn.Module):
    """A network whose last layer shows what is bright, so that its map is known."""

    def __init__(self) -> None:
        super().__init__()
        self.layer4 = nn.AvgPool2d(32)
        self.fc = nn.Linear(1, 2)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[-40.0], [40.0]]))
            self.fc.bias.copy_(torch.tensor([1.0, -1.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer4(images).mean((2, 3)))


def painted(settings: CamSettings) -> ResNet38Cam:
    return ResNet38Cam(Painted(), settings, CPU)  # type: ignore[arg-type]


def a_bright_patch() -> torch.Tensor:
    """Cells (row 2 to 4, col 3 to 5) of the 8 x 8 grid are 1, a further column is 0.3, nothing else shows."""
    image = torch.zeros(1, 1, 256, 256)
    image[..., 64:160, 96:192] = 1.0
    image[..., 64:160, 192:224] = 0.3
    return image


def test_boxes_go_round_whole_cells_the_far_edges_too() -> None:
    guidance = painted(CamSettings())
    maps = guidance.maps(a_bright_patch(), torch.empty(0))
    assert maps.probabilities[0] > 0.9
    guided = boxes_from_cam(maps, 5.0, 256, default_boxes())
    assert guided.boxes == [((96.0, 64.0, 192.0, 160.0),)]


@pytest.mark.parametrize(("threshold", "right"), [(0.2, 224.0), (0.4, 192.0), (0.35, 192.0), (OTSU, 192.0)])
def test_the_threshold_decides_which_cells_count(threshold: float | str, right: float) -> None:
    maps = painted(CamSettings(threshold=threshold)).maps(a_bright_patch(), torch.empty(0))
    ((box,),) = boxes_from_cam(maps, 5.0, 256, default_boxes()).boxes
    assert box[2] == right


def test_logits_are_linear_in_the_map() -> None:
    maps = painted(CamSettings(threshold=0.4, gain=10.0)).maps(a_bright_patch(), torch.empty(0))
    np.testing.assert_allclose(maps.cam_logits[0, 3, :], [-4, -4, -4, 6, 6, 6, -1, -4], atol=1e-4)


def test_a_map_of_nothing_prompts_nothing() -> None:
    maps = painted(CamSettings()).maps(torch.zeros(2, 1, 256, 256), torch.empty(0))
    np.testing.assert_allclose(maps.cam_logits, -4.0, atol=1e-6)
    assert (maps.probabilities < 0.2).all()
    assert boxes_from_cam(maps, 5.0, 256, default_boxes()).boxes == [(), ()]


def test_otsu_parts_two_groups_of_values() -> None:
    cam = np.array([[0.1, 0.15, 0.1], [0.6, 0.9, 0.7]], dtype=np.float32)
    assert 0.15 < threshold_of(cam, OTSU) < 0.6
    assert threshold_of(cam, 0.25) == 0.25


@pytest.mark.parametrize(
    "fields",
    [{"method": "scam"}, {"layer": "layer9"}, {"threshold": 1.5}, {"threshold": "best"}, {"gain": 0}, {"blur": 1}],
)
def test_settings_that_are_not_known_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"map se(ttings|ction)"):
        CamSettings.from_dict(fields)


def test_settings_survive_a_manifest() -> None:
    settings = CamSettings("layercam", "layer3", OTSU, 8.0)
    assert CamSettings.from_dict(settings.to_dict()) == settings
