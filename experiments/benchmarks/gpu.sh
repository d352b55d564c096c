#!/usr/bin/env bash
# The figures of docs/results/gpu.md: speed, memory, and what fewer samples save, on the accelerator that JAX finds.
#
#     bash experiments/benchmarks/gpu.sh runs/gpu
#     MINUTES=10 bash experiments/benchmarks/gpu.sh runs/gpu safety_reacher:spring:4096
#
# Usage: gpu.sh FOLDER [TASK:BACKEND:ENVIRONMENTS ...]. Every part leaves a file in FOLDER when it is complete, and is
# skipped when the file is there: after MINUTES (25) no part is begun, one that runs is ended, and the same command goes
# on from there. Compiled programs are kept in FOLDER too. FOLDER/gpu.md has what is there so far.
# PYTHON is the interpreter (.venv/bin/python), FLAGS more flags for `espo bench`.
set -uo pipefail
folder=${1:?usage: gpu.sh FOLDER [TASK:BACKEND:ENVIRONMENTS ...]}
shift
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-"$here/../../.venv/bin/python"}
end=$((SECONDS + ${MINUTES:-25} * 60))
mkdir -p "$folder"
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-"$(cd "$folder" && pwd)/compiled"}
export XLA_PYTHON_CLIENT_PREALLOCATE=false # so that the peak is what the programs take

# The most telling ones first.
parts=(
  safety_reacher:spring:{4096,16384,1024,64} safety_hopper_velocity:spring:{4096,16384,1024,64}
  safety_hopper_velocity:mjx:4096 safety_reacher:generalized:4096 safety_walker2d:spring:4096
  safety_humanoidstandup:spring:4096 safety_ant_velocity:spring:4096
  safety_hopper_velocity:mjx:{1024,16384,64} safety_reacher:generalized:{1024,16384,64}
  safety_walker2d:mjx:{4096,1024,16384,64} safety_ant_velocity:mjx:{4096,1024,16384,64}
  safety_humanoidstandup:mjx:{4096,1024,64}
)
[ $# -eq 0 ] || parts=("$@")

failed=0
run() { # FILE COMMAND...: the output, or the file that the command writes to FILE.part, becomes FILE when it succeeds
  local file=$1 left=$((end - SECONDS))
  shift
  [ ! -e "$file" ] || return 0
  [ "$left" -gt 0 ] || { echo "no time for $file" && return 0; }
  echo "$file"
  if timeout "$left" "$@" >"${file%.*}.log" 2>&1; then
    if [ -e "$file.part" ]; then mv "$file.part" "$file"; else mv "${file%.*}.log" "$file"; fi
  else
    echo "  not complete, see ${file%.*}.log" && failed=1
  fi
}

for part in "${parts[@]}"; do
  IFS=: read -r task backend width <<<"$part"
  # shellcheck disable=SC2086
  run "$folder/bench-$task-$backend-$width.json" "$python" -m espo_jax.cli bench --task "$task" --backend "$backend" \
    --num-envs "$width" --algorithms espo,crpo --json "$folder/bench-$task-$backend-$width.json.part" ${FLAGS:-}
  if [ "$task:$backend" = safety_reacher:spring ]; then
    run "$folder/sizes-$task-$backend-$width.md" "$python" "$here/sample_size.py" --task "$task" --backend "$backend" \
      --num-envs "$width" --samples-per-env 64
  fi
  "$python" "$here/gpu_report.py" "$folder" >"$folder/gpu.md"
done
exit "$failed"
