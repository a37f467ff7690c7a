"""Estimates of path effects by gradients, one method a file, each to be held against the exact effects.

compare                       all methods on a task, with exact effects, rank correlations and times
eap, eap_ig_inputs            gradients at the clean run; along the way from corrupted to clean embeddings
eap_ig_activations            along the way of each layer's heads from corrupted to clean
ceap                          gradients along the way, each times the change that happens there
gim, relp                     gradients with other rules in norms, softmax and products
atp_star                      queries and keys by the pattern that they make; gradients with layers left out
second_order                  a flag on linear estimates that are not to be trusted
magnitudes                    how large what a source writes is as the target reads it, to hold all against
written                       scores that EAP-IG or MIB wrote
gradients, changes            what all of them are made of
"""
