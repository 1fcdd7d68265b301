"""The user's process: compute contexts, `rx_exec`, and the job functions."""
