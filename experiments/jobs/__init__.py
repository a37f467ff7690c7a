"""Work that takes long: jobs, the executors that do them (this process, workers, a cluster) and the log of how far they
are.

Any module's jobs are run here in the same way, whatever they measure; so is what becomes of errors and of full memory.
"""
