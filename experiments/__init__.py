"""Models, corpora, training, results, figures, report and command line."""
