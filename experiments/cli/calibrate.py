"""Calibration of the sampler."""

import argparse

HELP = "sweep lr, localization and nbeta for heads' rLLCs, look for a plateau, and recommend a setting"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_run_arguments, add_sampling_arguments
    from experiments.results.plan import SAMPLERS

    parser.add_argument("heads", metavar="HEAD", nargs="+", help="L1H3 or 1:3")
    parser.add_argument("--step", type=int, help="checkpoint (default: the last)")
    parser.add_argument("--lr", type=float, nargs="+", metavar="VALUE", help="step sizes to try")
    parser.add_argument("--localization", type=float, nargs="+", metavar="VALUE", help="localizations to try")
    parser.add_argument(
        "--nbeta",
        nargs="+",
        metavar="VALUE",
        help="inverse temperatures to try; `natural` is n / log n, n rows sampled",
    )
    parser.add_argument(
        "--sampler",
        choices=SAMPLERS,
        nargs="+",
        default=SAMPLERS[:1],
        metavar="NAME",
        help=f"samplers to compare, of {', '.join(SAMPLERS)}; -cv: with a control variate, which takes the noise of "
        f"minibatches out of the gradient at the center (default: {SAMPLERS[0]})",
    )
    add_sampling_arguments(parser)
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments.cli.flags import refusals

    refusals.check_heads(arguments.run, arguments.heads)

    from ablations.names import distinct_heads, head_name, parse_head
    from experiments import runs
    from experiments.cli.opening import chosen_step, open_cells, open_executor
    from experiments.figures import files
    from experiments.jobs import runner
    from experiments.measurements import calibration
    from experiments.plots import calibration as figure
    from llc.calibrate import grid

    cfg = runs.open_run(arguments.run).model_config()
    heads = [parse_head(name) for name in distinct_heads(arguments.heads, cfg)]
    cells = open_cells(arguments, layers=1)
    step = chosen_step(cells.run, arguments)
    settings = grid(
        cells.plan.llc,
        sorted(arguments.lr or calibration.LRS),
        sorted(arguments.localization or calibration.LOCALIZATIONS),
        [_nbeta(text, len(cells.inputs.sampled)) for text in arguments.nbeta or map(str, calibration.NBETAS)],
    )
    with open_executor(arguments) as executor:
        wanted = calibration.missing(cells, step, heads, settings, arguments.sampler)
        runner.run(wanted, executor, f"{len(settings)} settings")
    for head in heads:
        calibrated = calibration.calibration(cells, step, head, settings, arguments.sampler)
        for sampler, (chosen, _, reason) in calibrated.recommendations.items():
            print(f"{head_name(head)} at step {step}, {sampler}: {reason}")
            if chosen:
                print(
                    f"recommended: lr {chosen.lr:g}, localization {chosen.localization:g}, nbeta {chosen.nbeta:g}, "
                    f"{chosen.num_burnin} draws discarded of {chosen.num_draws}"
                )
        name = f"calibrate_{head_name(head)}_{step}"
        for path in files.write_table_and_figure(cells, name, calibrated.sweep, figure.draw(calibrated)):
            print(f"wrote {path}")


def _nbeta(text: str, rows: int) -> float:
    from llc.settings import natural_nbeta

    try:
        return natural_nbeta(rows) if text == "natural" else float(text)
    except ValueError:
        raise ValueError(f"--nbeta {text}: give a number, or `natural` for n / log n") from None
