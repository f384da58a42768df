"""The training loop: augmented batches, the loss, steps, states and logs of one network."""
