"""What the stages share with the outside: MLflow and the llama.cpp engine."""
