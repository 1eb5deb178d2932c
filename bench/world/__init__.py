"""What a policy is worth: a closed loop in the simulated world, whose truth is known."""
