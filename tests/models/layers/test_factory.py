import pytest

from models.layers.factory import LayerFactory
from models.layers.norm import SharedBatchNorm2d, SwitchableBatchNorm2d
from models.quantizers.settings import QuantizerSettings


def factory(code_bits: int = 8, clip_init: float = 8.0, **settings: bool) -> LayerFactory:
    return LayerFactory(QuantizerSettings(**settings), (4, 2), code_bits, clip_init)


def test_every_clip_level_starts_at_the_given_value() -> None:
    quantizer = factory(clip_init=5.0).activation(signed=True)
    assert [quantizer.clip_level(bits).item() for bits in (4, 2)] == [5.0, 5.0]
    assert quantizer.signed


def test_the_stem_shares_its_batch_norm_or_switches_it() -> None:
    assert isinstance(factory().stem_norm(3), SharedBatchNorm2d)
    assert isinstance(factory(stem_bn_shared=False).stem_norm(3), SwitchableBatchNorm2d)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"code_bits": 9}, "1 to 8"),
        ({"code_bits": 3}, "4 bits do not fit 3-bit codes"),
        ({"clip_init": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factory(**wrong)  # type: ignore[arg-type]
