#!/bin/sh
# When the lame duck ends, over a million drains: Tests/Benchmarks/quiet.sh [drains [seed]]
set -eu
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
swiftc -O -wmo -parse-as-library -o "$folder/quiet" Sources/Lifecycle/*.swift Tests/Benchmarks/quiet/*.swift \
  Tests/LifecycleTests/Random.swift Tests/LifecycleTests/Traffic.swift Tests/LifecycleTests/Simulation.swift
"$folder/quiet" "$@"
