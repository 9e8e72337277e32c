#!/bin/sh
# When the lame duck ends, over a million drains: Tests/Benchmarks/quiet.sh [drains [seed]]
set -eu
cd "$(dirname "$0")/../.."
# All in one module, which needs no import of another.
sources=$(ls Sources/Time/*.swift Sources/Lifecycle/*.swift | grep -v /Exports)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
swiftc -O -wmo -parse-as-library -o "$folder/quiet" $sources Tests/Benchmarks/quiet/*.swift \
  Tests/LifecycleTests/Actions.swift \
  Tests/LifecycleTests/Random.swift Tests/LifecycleTests/Traffic.swift Tests/LifecycleTests/Simulation.swift
"$folder/quiet" "$@"
