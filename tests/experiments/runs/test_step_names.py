"""Steps in names as people write them: read where one number can be meant, refused where several could be."""

import pytest

from experiments.runs.step_names import steps_of_names


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (("model_step1000_loss2.31", "model_step2000_loss2.05"), [1000, 2000]),
        (("step1e3", "step2e3"), [1000, 2000]),
        (("step_1e+03_lr3e-4", "step_2e+03_lr3e-4"), [1000, 2000]),
        (("model-500", "model-1k", "model-10K"), [500, 1000, 10_000]),
        (("tetrahedron-3m-100", "tetrahedron-3m-200"), [100, 200]),
        (("tokens_1M", "tokens_2B"), [10**6, 2 * 10**9]),
        (("step_100_12e34567890", "step_200_1e98765432"), [100, 200]),
        (("step1,000,000", "step2,000,000"), [10**6, 2 * 10**6]),
        (("step_100_v2", "step_200_v2"), [100, 200]),
        (("step_0000100", "step_0000200"), [100, 200]),
        (("epoch=3-step=1000", "epoch=4-step=2000"), [1000, 2000]),
        (("checkpoint-1-step-1000", "checkpoint-2-step-2000"), [1000, 2000]),
        (("checkpoint-1000-seed1", "checkpoint-2000-seed1"), [1000, 2000]),
        (("checkpoint-476000-1",), [476_000]),
        (("step_1_000", "step_2_000"), None),  # 1 and 2, or a thousand and two thousand?
        (("L2_100_2.31", "L2_200_2.05"), [100, 200]),
        (("model_step12.5", "model_step13.5"), None),
        (("checkpoint-1-1000", "checkpoint-2-2000"), None),  # the first, or the second checkpoint, or the step?
        (("ckpt_1_loss_3", "ckpt_2_loss_2"), None),
        (("100_2024-05-01", "200_2024-05-02"), None),
        (("100", "1e3_2"), None),
    ],
)  # fmt: skip
def test_steps(names: tuple[str, ...], steps: list[int] | None) -> None:
    files = [f"checkpoints/{name}.pth" for name in names]
    if steps is None:
        with pytest.raises(ValueError, match="do not say which number is the step: rename them, such as checkpoint"):
            steps_of_names("someone/model", files)
    else:
        assert steps_of_names("someone/model", files) == steps
        assert steps_of_names("someone/model", files[::-1]) == steps[::-1]
