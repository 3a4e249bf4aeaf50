#!/usr/bin/env bash
# drills.sh WHAT [MINUTES] - the drills of tests/drill for as long as one likes, by hand: what CI does in seconds. Run it as root.
# WHAT: fsx (data operations), stress (eight processes), kill (a server killed again and again), memory (100,000 files), all.
# Each pass has a new seed, printed; VENEER_SEED=N drills.sh WHAT repeats one. Ends at the first failure.
set -eu
cd "$(dirname "$(readlink -f "$0")")/../.."
what=${1:?usage: drills.sh fsx|stress|kill|memory|all [MINUTES]} minutes=${2:-10}
end=$((SECONDS + minutes * 60))
cargo test --quiet --test drill --no-run
drill() { cargo test --quiet --test drill -- --nocapture --test-threads=1 "$1"; }
pass() {
  case $1 in
    fsx) VENEER_ROUNDS=400 drill fsx:: ;;
    stress) VENEER_SECONDS=120 drill stress:: ;;
    kill) VENEER_ROUNDS=400 drill killed:: ;;
    memory) VENEER_ROUNDS=100 drill memory:: ;;
    all) pass fsx && pass stress && pass kill && pass memory ;;
    *) echo "drills.sh: no drill $1" >&2; return 2 ;;
  esac
}
while pass "$what"; do
  if [ -n "${VENEER_SEED:-}" ] || [ $SECONDS -ge $end ]; then exit 0; fi
done
exit 1
