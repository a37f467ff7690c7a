"""The card of one head."""

import argparse

HELP = "all that is known of one head on one page: type, learning coefficient, attention, tokens, composition, paths"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.cli.arguments import add_gauge_argument, add_heads_argument, add_run_arguments

    parser.add_argument("head", metavar="HEAD", help="L1H4 or 1:4")
    parser.add_argument("--step", type=int, help="checkpoint (default: the last)")
    parser.add_argument(
        "--tokens", type=int, help="tokens of held-out text for types (default: 500000, or all where there are fewer)"
    )
    add_heads_argument(parser, "measure types and rLLCs of HEAD and these alone, which is quick in large models")
    add_gauge_argument(parser)
    parser.add_argument("--text", default="", help="show its attention on this text (default: where it matters)")
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    from experiments.cli.flags import refusals

    refusals.check_heads(arguments.run, [arguments.head, *arguments.heads])

    from experiments.cli.opening import open_executor
    from experiments.investigate.investigation import Investigation

    with open_executor(arguments) as executor:
        investigation = Investigation(
            arguments.run,
            corpus=arguments.corpus,
            out=arguments.out,
            step=arguments.step,
            seed=arguments.seed,
            tokens=arguments.tokens,
            heads=[arguments.head, *arguments.heads] if arguments.heads else [],
            gauge=arguments.gauge,
            workers=executor,
        )
        card = investigation[arguments.head]
        card = card.on(arguments.text) if arguments.text else card
        print(f"wrote {card.save()}")
