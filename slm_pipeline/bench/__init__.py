"""`slm bench`: numbers on demand."""
