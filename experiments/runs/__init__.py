"""Training runs: their checkpoints, how they are trained, and how models from elsewhere become one."""

from experiments.runs.run import ZOO, Run, checkpoint_path, export, open_run, tokenizer_of, write_checkpoint

__all__ = ["ZOO", "Run", "checkpoint_path", "export", "open_run", "tokenizer_of", "write_checkpoint"]
