#!/bin/sh
# Builds the conformance runner into .deno/bin, where the test finds it. Needs Go and its module proxy.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p .deno/bin
GOBIN=$PWD/.deno/bin exec go install connectrpc.com/conformance/cmd/connectconformance@v1.0.7
