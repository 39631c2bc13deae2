#!/usr/bin/env bash
# A newcomer's first half hour: clone the repository into an empty folder, with empty caches and none of this checkout's
# environment, and run the README's two set-up commands. Prints how long each took. Part of `make soak`.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git clone --quiet "$repository" "$folder/slm_pipeline"
cd "$folder/slm_pipeline"
unset VIRTUAL_ENV SLM_HOME SLM_DAGSTER_HOME DAGSTER_HOME MLFLOW_TRACKING_URI
export PIP_NO_CACHE_DIR=1 XDG_CACHE_HOME="$folder/cache" HF_HOME="$folder/cache/huggingface"
for target in demo test; do
  start=$SECONDS
  make "$target"
  echo "make $target: $((SECONDS - start)) s"
done
